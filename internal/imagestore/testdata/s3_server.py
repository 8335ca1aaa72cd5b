"""An S3 server with IAM that is enforced, for the tests of this package.

Prints one line of JSON (endpoint and the keys of two users) when it is ready
and ends when its standard input closes, so that it cannot outlive the tests.
"""

import json
import os
import sys
import urllib.request

for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ[name] = "administrator"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"

s3 = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
for bucket in ("scans", "private"):
    s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket="private", Key="slice.png", Body=b"secret")

iam = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")
statement = {
    "Effect": "Allow",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::scans", "arn:aws:s3:::scans/*"],
}
users = {}
for user in ("device", "stranger"):
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    users[user] = {"ID": key["AccessKeyId"], "Secret": key["SecretAccessKey"]}
iam.put_user_policy(
    UserName="device",
    PolicyName="scans",
    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
)

# From here on every request needs good credentials and a policy.
urllib.request.urlopen(
    urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth",
        data=b"0",
        headers={"Content-Type": "text/plain"},
        method="POST",
    )
)
print(json.dumps({"Endpoint": endpoint, "Users": users}), flush=True)
sys.stdin.read()
server.stop()
