"""Settings of MXNet 1.9.1 for the reference data: import before mxnet."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# MXNet's own kernels: those of oneDNN lack dilated transposed convolutions.
os.environ.setdefault("MXNET_MKLDNN_ENABLED", "0")
os.environ.setdefault("MXNET_STORAGE_FALLBACK_LOG_VERBOSE", "0")
