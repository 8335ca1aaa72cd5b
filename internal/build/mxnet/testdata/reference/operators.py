"""Small graphs, one for each operator and for what its parameters change.

A case is a symbol and the shapes of its inputs. Every other variable becomes a
parameter of random values: positive ones for variances.
"""

import mxnet as mx

sym = mx.sym
IMAGE = (2, 4, 8, 6)


def data(name="data"):
    return sym.var(name)


def cases():
    """Yields (name, symbol, {input: shape})."""
    yield from convolutions()
    yield from poolings()
    yield from normalisations()
    yield from activations()
    yield from outputs()
    yield from arithmetic()
    yield from reductions()
    yield from reshapes()
    yield from slices()
    yield from upsamplings()
    yield from graphs()


def on(shape, **named):
    """One case for each named symbol, with one input, data."""
    for name, symbol in named.items():
        yield name, symbol, {"data": shape}


def convolutions():
    x = data()
    conv, deconv = sym.Convolution, sym.Deconvolution
    yield from on(
        IMAGE,
        conv_plain=conv(x, kernel=(3, 3), num_filter=3, name="c"),
        conv_pad_stride=conv(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), num_filter=3, name="c"),
        conv_no_bias=conv(x, kernel=(1, 1), num_filter=3, no_bias=True, name="c"),
        conv_dilated=conv(x, kernel=(3, 3), dilate=(2, 2), pad=(2, 2), num_filter=3, name="c"),
        conv_asymmetric=conv(x, kernel=(5, 1), pad=(2, 0), num_filter=3, name="c"),
        conv_groups=conv(x, kernel=(3, 3), pad=(1, 1), num_filter=6, num_group=2, name="c"),
        conv_depthwise=conv(x, kernel=(3, 3), pad=(1, 1), num_filter=4, num_group=4, no_bias=True, name="c"),
        conv_layout=conv(x, kernel=(3, 3), num_filter=2, layout="NCHW", name="c"),
        deconv_plain=deconv(x, kernel=(3, 3), num_filter=3, name="c"),
        deconv_bias=deconv(x, kernel=(2, 2), stride=(2, 2), num_filter=3, no_bias=False, name="c"),
        deconv_pad_adj=deconv(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), adj=(1, 1), num_filter=3, name="c"),
        deconv_target=deconv(x, kernel=(3, 3), stride=(2, 2), target_shape=(16, 12), num_filter=3, name="c"),
        deconv_target_even=deconv(x, kernel=(4, 4), stride=(2, 2), target_shape=(16, 12), num_filter=3, name="c"),
        deconv_target_odd=deconv(x, kernel=(3, 3), stride=(2, 2), target_shape=(15, 12), num_filter=3, name="c"),
        deconv_target_stride1=deconv(x, kernel=(3, 3), target_shape=(8, 6), num_filter=3, name="c"),
        deconv_target_over_pad=deconv(
            x, kernel=(3, 3), stride=(2, 2), pad=(0, 0), adj=(1, 1), target_shape=(16, 12), num_filter=2, name="c"
        ),
        deconv_groups=deconv(x, kernel=(3, 3), stride=(2, 2), num_filter=6, num_group=2, name="c"),
        deconv_dilated=deconv(x, kernel=(3, 3), dilate=(2, 2), pad=(1, 1), num_filter=2, name="c"),
    )
    yield from on(
        (2, 3, 9),
        conv_1d=conv(x, kernel=(3,), stride=(2,), pad=(1,), num_filter=2, name="c"),
        deconv_1d=deconv(x, kernel=(3,), stride=(2,), num_filter=2, name="c"),
        pool_1d=sym.Pooling(x, kernel=(2,), stride=(2,), pool_type="max"),
    )
    yield from on(
        (1, 2, 4, 5, 3),
        conv_3d=conv(x, kernel=(3, 3, 3), pad=(1, 1, 1), num_filter=2, name="c"),
        pool_3d=sym.Pooling(x, kernel=(2, 2, 2), stride=(2, 2, 1), pool_type="avg"),
    )
    full = sym.FullyConnected
    yield from on(
        IMAGE,
        fully_connected=full(x, num_hidden=5, name="f"),
        fully_connected_no_bias=full(x, num_hidden=5, no_bias=True, name="f"),
        fully_connected_not_flat=full(x, num_hidden=5, flatten=False, name="f"),
        fully_connected_not_flat_no_bias=full(x, num_hidden=5, flatten=False, no_bias=True, name="f"),
    )
    yield from on((3, 7), fully_connected_2d=full(x, num_hidden=4, name="f"))


def poolings():
    x = data()
    pool = sym.Pooling
    yield from on(
        IMAGE,
        pool_max=pool(x, kernel=(2, 2), stride=(2, 2), pool_type="max"),
        pool_max_default_stride=pool(x, kernel=(2, 3), pool_type="max"),
        pool_avg_pad=pool(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg"),
        pool_avg_pad_excluded=pool(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", count_include_pad=False),
        pool_sum=pool(x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="sum"),
        pool_lp=pool(x, kernel=(2, 2), stride=(2, 2), pool_type="lp", p_value=2),
        pool_lp1=pool(x, kernel=(2, 2), stride=(2, 2), pool_type="lp", p_value=1),
        pool_global_max=pool(x, kernel=(1, 1), global_pool=True, pool_type="max"),
        pool_global_avg=pool(x, kernel=(2, 2), global_pool=True, pool_type="avg"),
        pool_global_sum=pool(x, kernel=(1, 1), global_pool=True, pool_type="sum"),
        pool_global_lp=pool(x, kernel=(1, 1), global_pool=True, pool_type="lp", p_value=2),
        pool_global_no_kernel=pool(x, global_pool=True, pool_type="avg"),
    )
    adaptive = sym.contrib.AdaptiveAvgPooling2D
    yield from on(IMAGE, adaptive_one=adaptive(x), adaptive_same=adaptive(x, output_size=2), adaptive_two=adaptive(x, output_size=(4, 3)))
    for convention in ("valid", "full"):
        for kind in ("max", "avg", "sum", "lp"):
            more = {"p_value": 2} if kind == "lp" else {}
            for pad in ((0, 0), (1, 1)):
                yield (
                    f"pool_{convention}_{kind}_{pad[0]}",
                    pool(x, kernel=(3, 3), stride=(2, 2), pad=pad, pool_type=kind, pooling_convention=convention, **more),
                    {"data": (1, 2, 8, 10)},
                )
        for include in (True, False):
            yield (
                f"pool_{convention}_avg_include_{include}",
                pool(
                    x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", pooling_convention=convention, count_include_pad=include
                ),
                {"data": (1, 2, 8, 10)},
            )
        yield (
            f"pool_{convention}_even",
            pool(x, kernel=(2, 2), stride=(2, 2), pool_type="max", pooling_convention=convention),
            {"data": (1, 2, 7, 8)},
        )


def normalisations():
    x = data()
    norm = sym.BatchNorm
    yield from on(
        IMAGE,
        batch_norm_default=norm(x, name="n"),
        batch_norm_gamma=norm(x, fix_gamma=False, eps=2e-5, name="n"),
        batch_norm_fixed_gamma=norm(x, fix_gamma=True, eps=1e-5, momentum=0.99, name="n"),
        batch_norm_global=norm(x, fix_gamma=False, use_global_stats=True, name="n"),
        batch_norm_last_axis=norm(x, fix_gamma=False, axis=3, name="n"),
        batch_norm_negative_axis=norm(x, fix_gamma=False, axis=-1, name="n"),
        instance_norm=sym.InstanceNorm(x, eps=1e-4, name="n"),
        layer_norm=sym.LayerNorm(x, name="n"),
        l2_instance=sym.L2Normalization(x, mode="instance"),
        l2_channel=sym.L2Normalization(x, mode="channel"),
        l2_spatial=sym.L2Normalization(x, mode="spatial"),
        l2_eps=sym.L2Normalization(x, eps=0.5),
        lrn=sym.LRN(x, nsize=3),
        lrn_parameters=sym.LRN(x, nsize=3, alpha=0.01, beta=0.5, knorm=1),
    )
    yield from on((3, 5), batch_norm_2d=norm(x, fix_gamma=False, name="n"), l2_2d=sym.L2Normalization(x))


def activations():
    x = data()
    leaky, act = sym.LeakyReLU, sym.Activation
    yield from on(
        IMAGE,
        **{f"activation_{kind}": act(x, act_type=kind) for kind in ("relu", "sigmoid", "tanh", "softrelu", "softsign")},
        leaky_default=leaky(x),
        leaky_slope=leaky(x, act_type="leaky", slope=0.1),
        elu=leaky(x, act_type="elu", slope=0.7),
        prelu=leaky(x, act_type="prelu", name="p"),
        prelu_one=leaky(x, gamma=sym.var("p_gamma", shape=(1,)), act_type="prelu", name="p"),
        rrelu=leaky(x, act_type="rrelu", lower_bound=0.2, upper_bound=0.4)[0],
        rrelu_default=leaky(x, act_type="rrelu")[0],
        gelu=leaky(x, act_type="gelu"),
        selu=leaky(x, act_type="selu"),
        clip=sym.clip(x, a_min=-0.5, a_max=0.7),
        hard_sigmoid=sym.hard_sigmoid(x),
        hard_sigmoid_parameters=sym.hard_sigmoid(x, alpha=0.3, beta=0.4),
        relu=sym.relu(x),
        sigmoid=sym.sigmoid(x),
        tanh=sym.tanh(x),
        softsign=sym.softsign(x),
        exp=sym.exp(x),
        abs=sym.abs(x),
        negative=-x,
        square=sym.square(x),
        floor=sym.floor(x),
        ceil=sym.ceil(x),
        erf=sym.erf(x),
        sin=sym.sin(x),
        cos=sym.cos(x),
        sign=sym.sign(x),
        log=sym.log(sym.abs(x)),
        sqrt=sym.sqrt(sym.abs(x)),
        rsqrt=sym.rsqrt(sym.abs(x)),
        reciprocal=sym.reciprocal(x),
        dropout=sym.Dropout(x, p=0.4) * 1,
        block_grad=sym.BlockGrad(x * 2),
        identity=sym.identity(x) + 0,
        cast=sym.Cast(x, dtype="float32") + 1,
    )
    yield from on((3, 5), prelu_2d=leaky(x, act_type="prelu", name="p"))


def outputs():
    x = data()
    yield from on(
        IMAGE,
        softmax_axis1=sym.softmax(x, axis=1),
        softmax_default=sym.softmax(x),
        softmax_temperature=sym.softmax(x, axis=1, temperature=2.5),
        log_softmax=sym.log_softmax(x, axis=1),
        softmin=sym.softmin(x, axis=1),
        softmax_activation=sym.SoftmaxActivation(x),
        softmax_activation_channel=sym.SoftmaxActivation(x, mode="channel"),
        softmax_output=sym.SoftmaxOutput(x, name="s"),
        softmax_output_multi=sym.SoftmaxOutput(x, multi_output=True, use_ignore=True, ignore_label=255, normalization="valid", name="s"),
        softmax_output_preserve=sym.SoftmaxOutput(x, preserve_shape=True, name="s"),
        linear_regression=sym.LinearRegressionOutput(x, name="s"),
        mae_regression=sym.MAERegressionOutput(x, name="s"),
        logistic_regression=sym.LogisticRegressionOutput(x, name="s"),
    )
    yield from on(
        (3, 5),
        softmax_output_2d=sym.SoftmaxOutput(x, name="s"),
        softmax_activation_2d=sym.SoftmaxActivation(x),
        svm=sym.SVMOutput(x, name="s"),
    )


def arithmetic():
    x, y = data(), data("other")
    two = {"data": (2, 3, 4), "other": (2, 3, 4)}
    spread = {"data": (2, 3, 1), "other": (2, 1, 4)}
    yield "dot", sym.dot(x, y), {"data": (2, 2), "other": (2, 4)}
    yield "dot_transposed", sym.dot(x, sym.var("weight", shape=(4, 3)), transpose_b=True), {"data": (2, 3)}
    yield "batch_dot", sym.batch_dot(x, y), {"data": (2, 3, 4), "other": (2, 4, 5)}
    yield "batch_dot_transposed", sym.batch_dot(x, y, transpose_a=True, transpose_b=True), {"data": (2, 4, 3), "other": (2, 5, 4)}
    for name in ("elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div"):
        yield name, getattr(sym, name)(x, y), two
    for name in (
        "add",
        "sub",
        "mul",
        "div",
        "maximum",
        "minimum",
        "equal",
        "not_equal",
        "greater",
        "greater_equal",
        "lesser",
        "lesser_equal",
    ):
        yield f"broadcast_{name}", getattr(sym, f"broadcast_{name}")(x, y), spread
    yield "broadcast_power", sym.broadcast_power(sym.abs(x), y), spread
    yield "operators_of_python", (x + y) * (x - y) / (y + 10), two
    yield "maximum", sym.maximum(x, y), two
    yield "minimum", sym.minimum(x, y), two
    yield "add_n", sym.add_n(x, y, x), two
    yield "parameter", sym.broadcast_add(x, sym.var("shift", shape=(1, 3, 1))), {"data": (2, 3, 4)}
    yield from on(
        (2, 3, 4),
        plus_scalar=x + 1.5,
        minus_scalar=x - 1.5,
        rminus_scalar=1.5 - x,
        mul_scalar=x * 1.5,
        div_scalar=x / 1.5,
        rdiv_scalar=1.5 / x,
        power_scalar=sym.abs(x) ** 1.5,
        rpower_scalar=1.5**x,
        maximum_scalar=sym.maximum(x, 0.1),
        minimum_scalar=sym.minimum(x, 0.1),
        equal_scalar=x == 0.5,
        not_equal_scalar=x != 0.5,
        greater_scalar=x > 0.5,
        greater_equal_scalar=x >= 0.5,
        lesser_scalar=x < 0.5,
        lesser_equal_scalar=x <= 0.5,
    )


def reductions():
    x = data()
    for name in ("sum", "mean", "max", "min", "prod"):
        reduce = getattr(sym, name)
        yield f"{name}_all", reduce(x), {"data": (2, 3, 4)}
        yield f"{name}_axis", reduce(x, axis=1), {"data": (2, 3, 4)}
        yield f"{name}_axes_kept", reduce(x, axis=(0, 2), keepdims=True), {"data": (2, 3, 4)}
        yield f"{name}_excluded", reduce(x, axis=(1,), exclude=True), {"data": (2, 3, 4)}
    yield from on(
        (2, 3, 4),
        sum_negative_axis=sym.sum(x, axis=-1),
        norm=sym.norm(x),
        norm_axis=sym.norm(x, axis=1, keepdims=True),
        norm_1=sym.norm(x, ord=1, axis=2),
        argmax=sym.argmax(x, axis=1),
        argmax_kept=sym.argmax(x, axis=-1, keepdims=True),
        argmin=sym.argmin(x, axis=2),
        argmax_channel=sym.argmax_channel(sym.Flatten(x)),
    )


def reshapes():
    x = data()
    for i, shape in enumerate(
        [
            (0, -1),
            (-1, 4),
            (0, 0, -1),
            (6, 1, 20),
            (-2,),
            (0, -2),
            (-3, -2),
            (0, -3, 0),
            (-4, 1, 2, -2),
            (0, -4, -1, 2, -2),
            (0, 0, 15, 1),
            (-3, -3),
        ]
    ):
        yield f"reshape_{i}", sym.Reshape(x, shape=shape), {"data": (2, 4, 3, 5)}
    yield from on(
        (2, 4, 3, 5),
        reshape_reverse=sym.Reshape(x, shape=(-1, 0), reverse=True),
        reshape_reverse_zeros=sym.Reshape(x, shape=(-1, 0, 0), reverse=True),
        flatten=sym.Flatten(x),
        transpose=sym.transpose(x, axes=(0, 2, 3, 1)),
        transpose_default=sym.transpose(x),
        swap_axis=sym.SwapAxis(x, dim1=1, dim2=3),
        expand_dims=sym.expand_dims(x, axis=1),
        expand_dims_last=sym.expand_dims(x, axis=-1),
    )
    yield from on(
        (2, 1, 3, 1),
        squeeze=sym.squeeze(x),
        squeeze_axis=sym.squeeze(x, axis=1),
        squeeze_axes=sym.squeeze(x, axis=(1, -1)),
    )
    yield "depth_to_space", sym.depth_to_space(x, block_size=2), {"data": (1, 8, 2, 3)}
    yield "space_to_depth", sym.space_to_depth(x, block_size=2), {"data": (1, 2, 4, 6)}


def slices():
    x, y = data(), data("other")
    yield "concat", sym.Concat(x, y), {"data": (2, 1, 3), "other": (2, 2, 3)}
    yield "concat_axis", sym.Concat(x, y, dim=2), {"data": (2, 3, 1), "other": (2, 3, 2)}
    yield "concat_negative", sym.concat(x, y, dim=-1), {"data": (2, 3, 1), "other": (2, 3, 2)}
    yield "stack", sym.stack(x, y, axis=1), {"data": (2, 3), "other": (2, 3)}
    part = sym.SliceChannel(x, num_outputs=2, name="split")
    yield "slice_channel", part[0] * part[1], {"data": (2, 4, 3)}
    yield "slice_channel_group", sym.Group([part[1], part[0]]), {"data": (2, 4, 3)}
    squeezed = sym.SliceChannel(x, num_outputs=3, axis=2, squeeze_axis=True)
    yield "slice_channel_squeezed", squeezed[0] - squeezed[2], {"data": (2, 4, 3)}
    yield from on(
        (2, 4, 7, 6),
        slice_axis=sym.slice_axis(x, axis=1, begin=1, end=3),
        slice_axis_open=sym.slice_axis(x, axis=2, begin=2, end=None),
        slice_axis_negative=sym.slice_axis(x, axis=-1, begin=-4, end=-1),
        slice=sym.slice(x, begin=(0, 1), end=(1, 3)),
        slice_none=sym.slice(x, begin=(None, 1, None), end=(None, None, 5)),
        slice_step=sym.slice(x, begin=(None, None, 1, None), end=(None, None, 6, None), step=(None, None, 2, -1)),
        crop_centre=sym.Crop(x, h_w=(3, 4), center_crop=True),
        crop_offset=sym.Crop(x, h_w=(3, 4), offset=(2, 1)),
        pad_constant=sym.Pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 2, 3, 0), constant_value=1.5),
        pad_zero=sym.Pad(x, mode="constant", pad_width=(0, 0, 0, 0, 1, 1, 1, 1)),
        pad_edge=sym.Pad(x, mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 3, 0)),
        pad_reflect=sym.Pad(x, mode="reflect", pad_width=(0, 0, 0, 0, 1, 2, 3, 0)),
        pad_channels=sym.transpose(
            sym.Pad(sym.transpose(x, axes=(0, 3, 2, 1)), mode="constant", pad_width=(0, 0, 0, 0, 0, 0, 0, 5), constant_value=0),
            axes=(0, 3, 2, 1),
        ),
    )
    both = {"data": (1, 2, 7, 6), "other": (1, 3, 4, 3)}
    yield "crop_like", sym.Crop(x, y), both
    yield "crop_like_offset", sym.Crop(x, y, offset=(2, 1)), both
    yield "crop_like_centre", sym.Crop(x, y, center_crop=True), both
    yield "slice_like", sym.slice_like(x, y, axes=(2, 3)), both


def upsamplings():
    x, y = data(), data("other")
    up = sym.UpSampling
    yield from on(
        (2, 3, 4, 3),
        nearest=up(x, scale=2, sample_type="nearest"),
        nearest_3=up(x, scale=3, sample_type="nearest"),
        bilinear=up(x, sym.var("weight"), scale=2, sample_type="bilinear", num_filter=3, num_args=2),
        bilinear_3=up(x, sym.var("weight"), scale=3, sample_type="bilinear", num_filter=3, num_args=2),
    )
    shapes = {"data": (1, 2, 2, 3), "other": (1, 2, 4, 6)}
    yield "nearest_concat", up(x, y, scale=4, sample_type="nearest", num_args=2), shapes
    resize = sym.contrib.BilinearResize2D
    yield from on(
        (2, 3, 4, 3),
        bilinear_resize=resize(x, height=9, width=5),
        bilinear_resize_smaller=resize(x, height=2, width=2),
        bilinear_resize_half_pixel=resize(x, height=9, width=5, align_corners=False),
        bilinear_resize_scaled=resize(x, scale_height=2, scale_width=3),
    )
    yield "nearest_sum", up(x, y, scale=4, sample_type="nearest", num_args=2, multi_input_mode="sum"), shapes


def graphs():
    """Outputs and labels as in training."""
    x, label = data(), sym.var("label")
    scores = sym.softmax(sym.Convolution(x, kernel=(1, 1), num_filter=2, name="c"), axis=1, name="softmax")
    loss = sym.MakeLoss(sym.sum(scores * sym.transpose(sym.one_hot(label, depth=2), axes=(0, 3, 1, 2))), name="loss")
    yield "group_with_loss", sym.Group([sym.BlockGrad(scores, name="scores"), loss]), {"data": (1, 2, 3, 4)}
    shared = sym.var("shared")
    twice = sym.Convolution(
        sym.Convolution(x, weight=shared, kernel=(3, 3), pad=(1, 1), num_filter=2, no_bias=True),
        weight=shared,
        kernel=(3, 3),
        num_filter=2,
        no_bias=True,
    )
    yield "shared_weight", twice, {"data": (1, 2, 5, 5)}
    yield "two_heads", sym.Group([x * 2, x + 1]), {"data": (2, 3)}
