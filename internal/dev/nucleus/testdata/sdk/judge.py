"""Drives a Greengrass nucleus with AWS' own client and prints a JSON line for each check.

Started as a component is: socket and token are in the environment. The argument is the profile of the nucleus. Messages to
the IoT Core topics judge/offline, judge/say, judge/merge and judge/update ask the tester, who plays the cloud and
the deployment, to act.
"""

import concurrent.futures
import datetime
import json
import os
import queue
import sys

import awsiot.greengrasscoreipc
from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

PROFILE = sys.argv[1]
CLASSIC = PROFILE == "classic"
WAIT = 60

checks = []


def check(function):
    checks.append(function)
    return function


def refused(error, call):
    """Makes a call that must fail with a modelled error, and returns the error."""
    try:
        call()
    except error as e:
        return e
    raise AssertionError(f"not refused with {error.__name__}")


def expect(want, got):
    assert want == got, f"want {want!r}, got {got!r}"


def binary(data):
    return model.PublishMessage(binary_message=model.BinaryMessage(message=data))


def document(value):
    return model.PublishMessage(json_message=model.JsonMessage(message=value))


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class Events:
    """A subscription whose events are taken one by one."""

    def __init__(self, subscribe, **arguments):
        self.queue = queue.Queue()
        self.closed = concurrent.futures.Future()
        self.response, self.operation = subscribe(
            on_stream_event=self.queue.put,
            on_stream_error=lambda e: True,
            on_stream_closed=lambda: self.closed.set_result(None),
            **arguments,
        )

    def next(self):
        return self.queue.get(timeout=WAIT)

    def none(self):
        try:
            event = self.queue.get(timeout=0.2)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected event {event}")

    def close(self):
        self.operation.close()
        self.closed.result(WAIT)


@check
def delivers_bytes_and_documents_to_a_wildcard_subscription(client):
    events = Events(client.subscribe_to_topic, topic="judge/+/in", receive_mode=model.ReceiveMode.RECEIVE_ALL_MESSAGES)
    data = bytes(range(256))
    client.publish_to_topic(topic="judge/a/in", publish_message=binary(data))
    event = events.next()
    expect(data, event.binary_message.message)
    expect("judge/a/in", event.binary_message.context.topic)
    client.publish_to_topic(topic="judge/b/in", publish_message=document({"id": "1", "n": 2, "list": [True, None, 1.5]}))
    expect({"id": "1", "n": 2, "list": [True, None, 1.5]}, events.next().json_message.message)
    client.publish_to_topic(topic="judge/b/out", publish_message=binary(b"x"))
    events.none()
    events.close()
    client.publish_to_topic(topic="judge/a/in", publish_message=binary(b"late"))
    events.none()


@check
def keeps_a_thousand_messages_in_order(client):
    events = Events(client.subscribe_to_topic, topic="judge/order")
    for i in range(1000):
        client.publish_to_topic(topic="judge/order", publish_message=binary(str(i).encode()))
    for i in range(1000):
        expect(str(i).encode(), events.next().binary_message.message)
    events.close()


@check
def decides_by_receive_mode_who_hears_itself(client):
    wildcard = Events(client.subscribe_to_topic, topic="judge/#")
    others = Events(client.subscribe_to_topic, topic="judge/self", receive_mode=model.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS)
    plain = Events(client.subscribe_to_topic, topic="judge/self")
    client.publish_to_topic(topic="judge/self", publish_message=binary(b"me"))
    expect(b"me", plain.next().binary_message.message)
    if CLASSIC:
        wildcard.none()
        others.none()
    else:
        wildcard.next()
        others.next()
    for events in (wildcard, others, plain):
        events.close()


@check
def refuses_topics_that_no_policy_allows(client):
    refused(model.UnauthorizedError, lambda: client.publish_to_topic(topic="other", publish_message=binary(b"x")))
    refused(model.UnauthorizedError, lambda: client.subscribe_to_topic(topic="#", on_stream_event=print))
    refused(model.UnauthorizedError, lambda: client.publish_to_iot_core(topic_name="other", qos="1", payload=b"x"))
    refused(model.UnauthorizedError, lambda: client.subscribe_to_iot_core(topic_name="#", qos="1", on_stream_event=print))
    refused(model.UnauthorizedError, lambda: client.validate_authorization_token(token=os.environ["SVCUID"]))


@check
def refuses_what_the_profile_refuses_in_a_topic(client):
    def publish(topic):
        return client.publish_to_topic(topic=topic, publish_message=binary(b"x"))

    if CLASSIC:
        refused(model.InvalidArgumentsError, lambda: publish("judge/+"))
        publish("judge/" + 300 * "a")
    else:
        publish("judge/+")
        refused(model.ServiceError, lambda: publish("judge/" + 300 * "a"))


@check
def carries_a_megabyte_under_classic_and_hangs_up_under_lite(client):
    own = GreengrassCoreIPCClientV2()
    events = Events(own.subscribe_to_topic, topic="judge/large")
    large = binary((1 << 20) * b"x")
    if CLASSIC:
        own.publish_to_topic(topic="judge/large", publish_message=large)
        expect(1 << 20, len(events.next().binary_message.message))
    else:
        try:
            own.publish_to_topic(topic="judge/large", publish_message=large)
        except Exception:
            pass
        else:
            raise AssertionError("a frame of 1.4 MB was taken")
        events.closed.result(WAIT)
    own.close()
    client.publish_to_topic(topic="judge/large", publish_message=binary(b"others live on"))


@check
def loops_iot_core_back(client):
    events = Events(client.subscribe_to_iot_core, topic_name="judge/cloud/#", qos=model.QOS.AT_LEAST_ONCE)
    client.publish_to_iot_core(
        topic_name="judge/cloud/a",
        qos=model.QOS.AT_LEAST_ONCE,
        payload=b"\x00\xff",
        response_topic="judge/answer",
        user_properties=[model.UserProperty(key="k", value="v")],
    )
    message = events.next().message
    expect(("judge/cloud/a", b"\x00\xff"), (message.topic_name, message.payload))
    expect("judge/answer" if CLASSIC else None, message.response_topic)
    expect([("k", "v")] if CLASSIC else None, message.user_properties and [(p.key, p.value) for p in message.user_properties])
    client.publish_to_iot_core(topic_name="judge/say", qos=model.QOS.AT_MOST_ONCE, payload=b"")
    expect(("judge/cloud/said", b"from the cloud"), (lambda m: (m.topic_name, m.payload))(events.next().message))
    events.close()


@check
def treats_a_lost_cloud_as_the_profile_does(client):
    events = Events(client.subscribe_to_iot_core, topic_name="judge/cloud/#", qos="1")
    acknowledged = Events(client.subscribe_to_topic, topic="judge/acknowledged")
    client.publish_to_iot_core(topic_name="judge/offline", qos="1", payload=b"")
    acknowledged.next()

    def publish(qos, payload):
        return client.publish_to_iot_core(topic_name="judge/cloud/offline", qos=qos, payload=payload)

    if CLASSIC:
        publish("1", b"sent while offline")
        refused(model.ServiceError, lambda: publish("0", b"lost"))
        events.none()
    else:
        refused(model.ServiceError, lambda: publish("1", b"lost"))
        refused(model.ServiceError, lambda: client.subscribe_to_iot_core(topic_name="judge/cloud/x", qos="1", on_stream_event=print))
    client.update_configuration(key_path=["signal"], timestamp=now(), value_to_merge={"tried": "yes"})
    acknowledged.next()
    if not CLASSIC:
        publish("1", b"online again")
    expect(b"sent while offline" if CLASSIC else b"online again", events.next().message.payload)
    events.none()
    events.close()
    acknowledged.close()


@check
def reads_configuration(client):
    whole = client.get_configuration(key_path=[])
    expect("com.example.Judge", whole.component_name)
    assert "accessControl" in whole.value, whole.value
    expect({"threads": 2, "name": "x"} if CLASSIC else {"threads": "2", "name": "x"}, client.get_configuration(key_path=["model"]).value)
    expect({"name": "x"}, client.get_configuration(key_path=["model", "name"]).value)
    expect({"colour": "blue"}, client.get_configuration(component_name="com.example.Other", key_path=["colour"]).value)
    refused(model.ResourceNotFoundError, lambda: client.get_configuration(key_path=["missing"]))
    refused(model.ResourceNotFoundError, lambda: client.get_configuration(component_name="com.example.Nobody", key_path=[]))


@check
def updates_configuration_and_tells_subscribers(client):
    events = Events(client.subscribe_to_configuration_update, key_path=["live"])
    client.update_configuration(key_path=["live"], timestamp=now(), value_to_merge={"level": "debug"})
    event = events.next().configuration_update_event
    expect(("com.example.Judge", ["live", "level"]), (event.component_name, event.key_path))
    expect({"level": "debug", "kept": "yes"}, client.get_configuration(key_path=["live"]).value)
    client.publish_to_iot_core(topic_name="judge/merge", qos="1", payload=b"")
    expect(["live", "deployed"], events.next().configuration_update_event.key_path)

    def old():
        return client.update_configuration(
            key_path=["live"], timestamp=datetime.datetime.fromtimestamp(1000, datetime.timezone.utc), value_to_merge={"level": "old"}
        )

    if CLASSIC:
        refused(model.FailedUpdateConditionCheckError, old)
    else:
        old()
    expect({"level": "debug"}, client.get_configuration(key_path=["live", "level"]).value)
    refused(
        model.InvalidArgumentsError,
        lambda: client.update_configuration(key_path=["accessControl"], timestamp=now(), value_to_merge={"a": {}}),
    )
    refused(
        model.InvalidArgumentsError, lambda: client.update_configuration(key_path=[], timestamp=now(), value_to_merge={"accessControl": {}})
    )
    refused(model.ResourceNotFoundError, lambda: client.subscribe_to_configuration_update(key_path=["missing"], on_stream_event=print))
    events.none()
    events.close()


@check
def takes_states(client):
    client.update_state(state=model.ReportedLifecycleState.RUNNING)
    refused(model.ServiceError, lambda: client.update_state(state="SLEEPING"))


@check
def offers_component_updates_under_classic_only(client):
    if not CLASSIC:
        refused(model.ServiceError, lambda: client.subscribe_to_component_updates(on_stream_event=print))
        refused(model.ServiceError, lambda: client.defer_component_update(deployment_id="d", recheck_after_ms=0))
        return
    refused(model.InvalidArgumentsError, lambda: client.defer_component_update(deployment_id="d", recheck_after_ms=0))
    events = Events(client.subscribe_to_component_updates)
    client.publish_to_iot_core(topic_name="judge/update", qos="1", payload=b"")
    before = events.next().pre_update_event
    expect(("deployment-1", False), (before.deployment_id, before.is_ggc_restarting))
    client.defer_component_update(deployment_id="deployment-1", message="busy", recheck_after_ms=100)
    expect("deployment-1", events.next().pre_update_event.deployment_id)
    client.defer_component_update(deployment_id="deployment-1", recheck_after_ms=0)
    expect("deployment-1", events.next().post_update_event.deployment_id)
    refused(model.ServiceError, lambda: client.defer_component_update(deployment_id="deployment-1", recheck_after_ms=0))
    events.close()


@check
def refuses_operations_that_it_does_not_serve(client):
    refused(Exception, lambda: client.list_components())
    client.publish_to_topic(topic="judge/a", publish_message=binary(b"still connected"))


@check
def validates_tokens_for_the_stream_manager(client):
    manager = GreengrassCoreIPCClientV2(client=awsiot.greengrasscoreipc.connect(authtoken=os.environ["STREAM_MANAGER_TOKEN"]))
    expect(True, manager.validate_authorization_token(token=os.environ["SVCUID"]).is_valid)
    refused(model.InvalidTokenError, lambda: manager.validate_authorization_token(token="AAAAAAAAAAAAAAAA"))
    manager.close()


@check
def refuses_a_wrong_token(client):
    try:
        awsiot.greengrasscoreipc.connect(authtoken="AAAAAAAAAAAAAAAA")
    except Exception:
        return
    raise AssertionError("a wrong token was taken")


def main():
    # Of many threads, which is the default, any may hand over its event first.
    client = GreengrassCoreIPCClientV2(executor=concurrent.futures.ThreadPoolExecutor(max_workers=1))
    for function in checks:
        result = {"check": function.__name__, "error": ""}
        try:
            function(client)
        except Exception as e:
            result["error"] = f"{type(e).__name__}: {e}"
        print(json.dumps(result), flush=True)
    client.close()


if __name__ == "__main__":
    main()
