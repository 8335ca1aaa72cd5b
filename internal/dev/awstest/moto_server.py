"""moto in server mode, for the tests that need S3 and SageMaker.

Prints one line of JSON (endpoint and the keys of two users) when it is ready.
The user "device" may use the bucket scans and nothing else, "stranger" may do
nothing. Then it obeys one JSON object a line on its standard input:

    {"job": NAME, "status": ..., "secondary": ..., "reason": ...}

changes a training job, which moto itself always completes at once. Each is
answered with a line. The server ends when its standard input closes, so that it
cannot outlive the tests.
"""

import json
import os
import sys

for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ[name] = "administrator"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3  # noqa: E402
from moto.sagemaker import sagemaker_backends  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

ACCOUNT = "123456789012"
REGION = "eu-west-1"


def change_job(change: dict) -> None:
    """Puts a training job into the state that the change describes."""
    job = sagemaker_backends[ACCOUNT][REGION].training_jobs[change["job"]]
    job.training_job_status = change["status"]
    job.secondary_status = change["secondary"]
    job.failure_reason = change["reason"] or None
    if change["status"] != "Completed":
        job.training_end_time = None
        job.model_artifacts = None


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
endpoint = f"http://{host}:{port}"

s3 = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
for bucket in ("scans", "private"):
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
s3.put_object(Bucket="private", Key="slice.png", Body=b"secret")

iam = boto3.client("iam", endpoint_url=endpoint, region_name=REGION)
users = {}
for user in ("device", "stranger"):
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    users[user] = {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
statement = {
    "Effect": "Allow",
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::scans", "arn:aws:s3:::scans/*"],
}
iam.put_user_policy(
    UserName="device",
    PolicyName="scans",
    PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
)
print(json.dumps({"endpoint": endpoint, "users": users}), flush=True)
for line in sys.stdin:
    try:
        change_job(json.loads(line))
        print("ok", flush=True)
    except Exception as error:  # noqa: BLE001 - the test is told, whatever it is
        print(f"{type(error).__name__}: {error}", flush=True)
server.stop()
