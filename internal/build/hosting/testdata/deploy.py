"""Deploys the CloudFormation template on standard input to moto, and prints what became of it."""

import json
import sys

import boto3
from moto import mock_aws

with mock_aws():
    stacks = boto3.client("cloudformation", region_name="eu-west-1")
    stacks.create_stack(StackName="brainseg", TemplateBody=sys.stdin.read())
    sagemaker = boto3.client("sagemaker", region_name="eu-west-1")
    # The names are moto's own.
    endpoint = sagemaker.describe_endpoint(EndpointName=sagemaker.list_endpoints()["Endpoints"][0]["EndpointName"])
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    container = model["PrimaryContainer"]
    print(
        json.dumps(
            {
                "Endpoint": endpoint["EndpointStatus"],
                "Image": container["Image"],
                "Environment": container.get("Environment", {}),
                "Variants": [{"InstanceType": v["InstanceType"]} for v in config["ProductionVariants"]],
            }
        )
    )
