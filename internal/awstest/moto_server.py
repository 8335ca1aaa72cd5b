"""moto in server mode, for the tests that need S3 and SageMaker.

Prints one line of JSON (endpoint and the keys of a user without any rights)
when it is ready, then obeys one JSON object a line on its standard input:

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

iam = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")
iam.create_user(UserName="stranger")
key = iam.create_access_key(UserName="stranger")["AccessKey"]
print(
    json.dumps(
        {
            "endpoint": endpoint,
            "strangerID": key["AccessKeyId"],
            "strangerSecret": key["SecretAccessKey"],
        }
    ),
    flush=True,
)
for line in sys.stdin:
    try:
        change_job(json.loads(line))
        print("ok", flush=True)
    except Exception as error:  # noqa: BLE001 - the test is told, whatever it is
        print(f"{type(error).__name__}: {error}", flush=True)
server.stop()
