"""Sends one request to brainseg as another Greengrass component does, and prints the result.

    python3 request.py IMAGE      (needs: pip install awsiotsdk)

Run it as a component, or under a local nucleus: brainseg local -- python3 request.py IMAGE
"""

import json
import queue
import sys
import time
import uuid

from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import BinaryMessage, PublishMessage

REQUESTS = "inference/brain_segmentation/request"
RESULTS = "inference/brain_segmentation/result"


def reply_to(request_id, results, timeout):
    """The next reply to a request, or None where none comes in time."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        try:
            result = results.get(timeout=left)
        except queue.Empty:
            break
        if result["id"] == request_id:
            return result
    return None


def main():
    results = queue.Queue()
    client = GreengrassCoreIPCClientV2()
    # One subscription for all requests; the id tells which a result answers.
    _, subscription = client.subscribe_to_topic(
        topic=RESULTS,
        on_stream_event=lambda event: results.put(json.loads(event.binary_message.message)),
    )
    request = {
        "id": str(uuid.uuid4()),
        "image": {"path": sys.argv[1]},
        "output": {"overlay": True},
        "acknowledge": True,
    }
    message = PublishMessage(binary_message=BinaryMessage(message=json.dumps(request).encode()))
    # What is published while the component does not listen is gone: the same request
    # again, under the same id, until it is accepted. From then on it is not lost.
    result = None
    for _ in range(15):
        client.publish_to_topic(topic=REQUESTS, publish_message=message)
        if result := reply_to(request["id"], results, timeout=2):
            break
    while result and result["status"] == "accepted":
        result = reply_to(request["id"], results, timeout=30)
    if not result:
        sys.exit("no result: is the component running?")
    print(json.dumps(result, indent=2))
    subscription.close()
    client.close()
    return 0 if result["status"] == "succeeded" else 1


if __name__ == "__main__":
    sys.exit(main())
