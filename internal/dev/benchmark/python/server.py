"""The endpoint of the 2018 system as it would be written today: Flask, Pillow,
numpy and ONNX Runtime, with a plain export of the network and argmax in numpy.

    python server.py PLAIN.onnx SIZE_MULTIPLE LOW HIGH IGNORE PORT

POST / with the PNG in the multipart field Body answers the mask as image/png.
"""

import io
import math
import sys

import numpy as np
import onnxruntime
from flask import Flask, Response, request
from PIL import Image

path, multiple, low, high, ignore, port = sys.argv[1:]
multiple, low, high, ignore = int(multiple), float(low), float(high), int(ignore)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
takes_window = any(i.name == "window" for i in session.get_inputs())

app = Flask(__name__)


def percentile_window(pixels):
    kept = pixels[pixels > ignore]
    n = len(kept)
    if n == 0:
        return np.array([0, 255], np.float32)
    first, last = math.floor(low * (n - 1)), math.floor(high * (n - 1))
    ordered = np.partition(kept, (first, last))
    low_value, high_value = int(ordered[first]), int(ordered[last])
    return np.array([low_value, max(high_value, low_value + 1)], np.float32)


@app.post("/")
def segment():
    picture = Image.open(io.BytesIO(request.files["Body"].read()))
    pixels = np.array(picture.convert("L"))
    height, width = pixels.shape
    padding = ((0, -height % multiple), (0, -width % multiple))
    feeds = {"image": np.pad(pixels, padding).astype(np.float32)[None, None]}
    if takes_window:
        feeds["window"] = percentile_window(pixels.ravel())
    scores = session.run(["scores"], feeds)[0]
    mask = scores[0].argmax(axis=0).astype(np.uint8)[:height, :width]
    answer = io.BytesIO()
    Image.fromarray(mask).save(answer, "PNG")
    return Response(answer.getvalue(), mimetype="image/png")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(port))
