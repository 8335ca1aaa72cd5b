"""Training of the networks that brainseg runs on small devices.

The package turns T1-weighted MRI with tissue labels into a network in ONNX form,
its manifest and its figures. `train.py` beside it is the entry point that
SageMaker starts; `python -m brainseg_training` has the commands for a desk.

It does not run models on devices (the Go component does), and does not strip,
register or label images.
"""
