"""The two networks of the 2018 system as MXNet symbols, written from their description.

enet and unet return what a training job of that system saves: the softmax
behind a BlockGrad, grouped with the loss. Widths can be divided, for smaller
files.
"""

import mxnet as mx
import numpy as np

import compatibility  # noqa: F401  (before mxnet)

sym = mx.sym

CLASSES = 4
CLASS_WEIGHTS = (1.35, 17.18, 8.29, 12.42)


class SpatialDropout(mx.operator.CustomOp):
    """Drops whole channels in training; the identity otherwise."""

    def __init__(self, p):
        super().__init__()
        self.p, self.mask = p, None

    def forward(self, is_train, req, in_data, out_data, aux):
        data = in_data[0]
        if is_train:
            kept = np.random.random(data.shape[:2]) >= self.p
            self.mask = mx.nd.array((kept / (1 - self.p)).reshape(data.shape[:2] + (1, 1)), ctx=data.context)
            data = mx.nd.broadcast_mul(data, self.mask)
        self.assign(out_data[0], req[0], data)

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        self.assign(in_grad[0], req[0], mx.nd.broadcast_mul(out_grad[0], self.mask))


@mx.operator.register("spatial_dropout")
class SpatialDropoutProp(mx.operator.CustomOpProp):
    def __init__(self, p):
        super().__init__(need_top_grad=True)
        self.p = float(p)

    def list_arguments(self):
        return ["data"]

    def list_outputs(self):
        return ["output"]

    def infer_shape(self, in_shape):
        return [in_shape[0]], [in_shape[0]], []

    def create_operator(self, ctx, shapes, dtypes):
        return SpatialDropout(self.p)


def with_loss(scores):
    """Groups the softmax of scores (N x 4 x H x W) with a weighted soft Dice loss."""
    softmax = sym.softmax(scores, axis=1, name="softmax")
    label = sym.one_hot(sym.var("label"), depth=CLASSES)
    label = sym.transpose(label, axes=(0, 3, 1, 2))
    weights = sym.reshape(sym.concat(*[sym.ones((1,)) * w for w in CLASS_WEIGHTS], dim=0), shape=(1, CLASSES))
    overlap = sym.sum(softmax * label, axis=(2, 3))
    size = sym.sum(softmax, axis=(2, 3)) + sym.sum(label, axis=(2, 3))
    dice = sym.broadcast_mul(weights, (2 * overlap + 1) / (size + 1))
    loss = sym.MakeLoss(1 - sym.mean(sym.sum(dice, axis=1) / sum(CLASS_WEIGHTS)), name="loss")
    return sym.Group([sym.BlockGrad(softmax, name="softmax_out"), loss])


class Enet:
    """Builds the graph layer by layer; names count up."""

    def __init__(self, height, width, divide):
        self.size = (height, width)
        self.divide = divide

    def conv(self, x, filters, kernel, name, stride=(1, 1), dilate=(1, 1), activate=True, bias=False):
        pad = tuple((k - 1) * d // 2 if s == 1 or k == 3 else 0 for k, d, s in zip(kernel, dilate, stride))
        x = sym.Convolution(x, kernel=kernel, stride=stride, dilate=dilate, pad=pad, num_filter=filters, no_bias=not bias, name=name)
        return self.normalise(x, name, activate)

    def normalise(self, x, name, activate=True):
        x = sym.BatchNorm(x, name=name + "_bn")
        return self.prelu(x, name + "_prelu") if activate else x

    def prelu(self, x, name):
        return sym.LeakyReLU(x, act_type="prelu", name=name)

    def wide(self, x, have, want, name):
        """Adds channels of zeros; Pad works on the last axes only."""
        x = sym.transpose(x, axes=(0, 2, 3, 1), name=name + "_last")
        x = sym.Pad(x, mode="constant", constant_value=0, pad_width=(0, 0, 0, 0, 0, 0, 0, want - have), name=name + "_pad")
        return sym.transpose(x, axes=(0, 3, 1, 2), name=name + "_first")

    def bottleneck(self, x, have, want, name, drop=0.1, down=False, dilate=1, asymmetric=0):
        inner = want // 4
        branch = self.conv(x, inner, (2, 2) if down else (1, 1), name + "_reduce", stride=(2, 2) if down else (1, 1))
        if asymmetric:
            branch = sym.Convolution(
                branch, kernel=(asymmetric, 1), pad=(asymmetric // 2, 0), num_filter=inner, no_bias=True, name=name + "_tall"
            )
            branch = self.conv(branch, inner, (1, asymmetric), name + "_flat")
        else:
            branch = self.conv(branch, inner, (3, 3), name + "_conv", dilate=(dilate, dilate), bias=True)
        branch = self.conv(branch, want, (1, 1), name + "_expand", activate=False)
        branch = sym.Custom(branch, op_type="spatial_dropout", p=drop, name=name + "_drop")
        if down:
            x = sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name=name + "_pool")
            x = self.wide(x, have, want, name)
        return self.prelu(sym.broadcast_add(x, branch, name=name + "_sum"), name + "_prelu")

    def up(self, x, want, name, target):
        inner = max(1, want // 4)
        branch = self.conv(x, inner, (1, 1), name + "_reduce")
        branch = sym.Deconvolution(
            branch, kernel=(3, 3), stride=(2, 2), target_shape=target, num_filter=inner, no_bias=True, name=name + "_deconv"
        )
        branch = self.normalise(branch, name + "_deconv")
        branch = self.conv(branch, want, (1, 1), name + "_expand", activate=False)
        x = self.conv(x, want, (1, 1), name + "_main", activate=False)
        x = sym.UpSampling(x, scale=2, sample_type="nearest", name=name + "_nearest")
        return self.prelu(sym.broadcast_add(x, branch, name=name + "_sum"), name + "_prelu")

    def scores(self):
        wide, deep, last = 64 // self.divide, 128 // self.divide, 16 // self.divide
        height, width = self.size
        x = sym.var("data")
        first = sym.Convolution(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=13, name="initial_conv")
        pooled = sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name="initial_pool")
        x = self.normalise(sym.Concat(first, pooled, dim=1, name="initial_concat"), "initial")
        x = self.bottleneck(x, 14, wide, "b10", drop=0.01, down=True)
        for i in range(1, 5):
            x = self.bottleneck(x, wide, wide, f"b1{i}", drop=0.01)
        x = self.bottleneck(x, wide, deep, "b20", down=True)
        for stage in (2, 3):
            for i, special in enumerate(
                [{}, {"dilate": 2}, {"asymmetric": 5}, {"dilate": 4}, {}, {"dilate": 8}, {"asymmetric": 5}, {"dilate": 16}], start=1
            ):
                x = self.bottleneck(x, deep, deep, f"b{stage}{i}", **special)
        x = self.up(x, wide, "b40", (height // 4, width // 4))
        for i in (1, 2):
            x = self.bottleneck(x, wide, wide, f"b4{i}")
        x = self.up(x, last, "b50", (height // 2, width // 2))
        x = self.bottleneck(x, last, last, "b51")
        return sym.Deconvolution(
            x, kernel=(2, 2), stride=(2, 2), target_shape=(height, width), num_filter=CLASSES, no_bias=True, name="full_conv"
        )


def enet(height, width, divide=1):
    return with_loss(Enet(height, width, divide).scores())


def unet(height, width, divide=1):
    """Four levels of two 3x3 convolutions, 32 to 256 filters, and 512 in the middle."""
    filters = [n // divide for n in (32, 64, 128, 256)]

    def block(x, n, name):
        for i in (1, 2):
            x = sym.Convolution(x, kernel=(3, 3), pad=(1, 1), num_filter=n, name=f"{name}_conv{i}")
            x = sym.BatchNorm(x, name=f"{name}_bn{i}")
            x = sym.Activation(x, act_type="relu", name=f"{name}_relu{i}")
        return x

    x, skips = sym.var("data"), []
    for i, n in enumerate(filters):
        x = block(x, n, f"down{i}")
        skips.append((x, n))
        x = sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max", name=f"pool{i}")
    x = sym.Dropout(block(x, 512 // divide, "middle"), p=0.3, name="middle_drop")
    for i, (skip, n) in reversed(list(enumerate(skips))):
        x = sym.Deconvolution(
            x, kernel=(2, 2), stride=(2, 2), target_shape=(height >> i, width >> i), num_filter=n, no_bias=False, name=f"up{i}"
        )
        x = block(sym.Concat(x, skip, dim=1, name=f"join{i}"), n, f"up{i}")
    return with_loss(sym.Convolution(x, kernel=(1, 1), num_filter=CLASSES, name="scores"))


NETWORKS = {"enet": enet, "unet": unet}
