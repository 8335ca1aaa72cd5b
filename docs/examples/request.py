"""Sends one request to brainseg as another Greengrass component does, and prints the result.

    python3 request.py IMAGE      (needs: pip install awsiotsdk)

Run it as a component, or under a local nucleus: brainseg local -- python3 request.py IMAGE
"""

import json
import queue
import sys
import uuid

from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import BinaryMessage, PublishMessage

REQUESTS = "inference/brain_segmentation/request"
RESULTS = "inference/brain_segmentation/result"


def main():
    results = queue.Queue()
    client = GreengrassCoreIPCClientV2()
    # One subscription for all requests; the id tells which a result answers.
    _, subscription = client.subscribe_to_topic(
        topic=RESULTS,
        on_stream_event=lambda event: results.put(json.loads(event.binary_message.message)),
    )
    request = {"id": str(uuid.uuid4()), "image": {"path": sys.argv[1]}, "output": {"overlay": True}}
    message = PublishMessage(binary_message=BinaryMessage(message=json.dumps(request).encode()))
    client.publish_to_topic(topic=REQUESTS, publish_message=message)
    while True:
        result = results.get(timeout=30)
        if result["id"] == request["id"]:
            break
    print(json.dumps(result, indent=2))
    subscription.close()
    client.close()
    return 0 if result["status"] == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())
