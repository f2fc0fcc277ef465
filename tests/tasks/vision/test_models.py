"""Networks: sizes as published, shapes, initial weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xsam.tasks.vision.architectures import MODELS, MlpConfig, TorchvisionConfig
from xsam.tasks.vision.models import build, check_timm


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "millions"), [("resnet18", 11.174), ("vgg11_bn", 28.150), ("densenet121", 6.956), ("resnet8", 0.078042)]
)
def test_parameter_counts_are_the_published_ones(name, millions):
    with torch.device("meta"):  # shapes without numbers
        count = parameters(build(name, channels=3, size=32, classes=10))
    assert round(count / 1e6, 3) == round(millions, 3)


def convolution(inputs: int, outputs: int, side: int, bias: bool = False) -> int:
    return inputs * outputs * side**2 + bias * outputs


def norm(channels: int) -> int:
    return 2 * channels


def linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def resnet18(classes: int) -> int:
    """He et al. 2016, table 1, with a 3×3 stem."""
    count, inputs = convolution(3, 64, 3) + norm(64), 64
    for width in (64, 128, 256, 512):
        for _ in range(2):
            count += convolution(inputs, width, 3) + convolution(width, width, 3) + 2 * norm(width)
            if inputs != width:
                count += convolution(inputs, width, 1) + norm(width)
            inputs = width
    return count + linear(512, classes)


def vgg11_bn(classes: int) -> int:
    """Simonyan & Zisserman 2015, column A, with BatchNorm and one pixel left before the classifier."""
    count, inputs = 0, 3
    for width in (64, 128, 256, 256, 512, 512, 512, 512):
        count += convolution(inputs, width, 3, bias=True) + norm(width)
        inputs = width
    return count + linear(512, 4096) + linear(4096, 4096) + linear(4096, classes)


def densenet121(classes: int) -> int:
    """Huang et al. 2017, table 1, growth 32; the stem for small images is one 3×3 convolution."""
    count, width = convolution(3, 64, 3), 64
    for block, layers in enumerate((6, 12, 24, 16)):
        if block:
            count += norm(width) + convolution(width, width // 2, 1)
            width //= 2
        for _ in range(layers):
            count += norm(width) + convolution(width, 128, 1) + norm(128) + convolution(128, 32, 3)
            width += 32
    return count + norm(width) + linear(width, classes)


@pytest.mark.parametrize("classes", [10, 100, 200])
@pytest.mark.parametrize("counted", [resnet18, vgg11_bn, densenet121])
def test_parameter_counts_are_those_of_the_architectures(counted, classes):
    with torch.device("meta"):
        assert parameters(build(counted.__name__, channels=3, size=32, classes=classes)) == counted(classes)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "densenet121"])
def test_larger_images_need_no_other_network(name):
    with torch.device("meta"):
        small, large = (build(name, 3, size, classes=200) for size in (32, 64))
        assert large(torch.zeros(2, 3, 64, 64, device="meta")).shape == (2, 200)
    assert parameters(small) == parameters(large)


def test_resnet8_has_exactly_its_parameters():
    assert parameters(build("resnet8", channels=3, size=32, classes=10)) == 78_042


def test_mlp_by_hand():
    model = build("mlp", channels=1, size=8, classes=10, own=MlpConfig(hidden=(32, 16)))
    assert parameters(model) == (64 * 32 + 32) + (32 * 16 + 16) + (16 * 10 + 10)
    assert parameters(build("mlp", channels=1, size=8, classes=10, own=MlpConfig(hidden=()))) == 64 * 10 + 10
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "vgg11_bn", "densenet121"])
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32)])
def test_which_images_each_network_takes_in_training(name, channels, size):
    with torch.device("meta"):  # shapes without numbers
        model = build(name, channels, size, classes=7).train()

    def scores(batch: int) -> torch.Tensor:
        return model(torch.zeros(batch, channels, size, size, device="meta"))

    if size < MODELS[name].smallest_side:
        with pytest.raises(RuntimeError):
            scores(2)
        return
    assert scores(2).shape == (2, 7)
    if size <= 2 ** MODELS[name].halvings:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            scores(1)
    else:
        assert scores(1).shape == (1, 7)


def test_densenet_takes_no_smaller_images_than_stated():
    model = build("densenet121", 1, MODELS["densenet121"].smallest_side - 1, classes=2).eval()
    with torch.no_grad(), pytest.raises(RuntimeError, match="too small"):
        model(torch.zeros(1, 1, 7, 7))


def test_small_image_stems_keep_the_resolution():
    for name, stem in (("resnet18", "conv1"), ("densenet121", "features.conv0")):
        conv = build(name, 3, 32, 10).get_submodule(stem)
        assert (conv.kernel_size, conv.stride, conv.padding, conv.bias) == ((3, 3), (1, 1), (1, 1), None)
    features = build("densenet121", 3, 32, 10).features
    assert [type(features.get_submodule(name)) for name in ("norm0", "relu0", "pool0")] == [nn.Identity] * 3
    transitions = [m for n, m in build("densenet121", 3, 32, 10).named_modules() if n.split(".")[-1] == "transition1"]
    assert not [m for m in transitions[0].modules() if isinstance(m, nn.ReLU)]


def spread(model: nn.Module, name: str) -> float:
    return float(model.get_parameter(name).detach().std())


@pytest.mark.parametrize("init", ["default", "torchvision"])
def test_initial_weights_have_the_documented_spread(init):
    torch.manual_seed(0)
    # PyTorch draws uniformly in ±1/√fan_in: std 1/√(3·fan_in). Torchvision: He normal by fan_out for ResNet and VGG
    # convolutions, by fan_in for DenseNet's, N(0, 0.01) for VGG's linear layers.
    cases = {
        "resnet18": {"conv1.weight": (27, (2 / (64 * 9)) ** 0.5), "layer2.0.conv1.weight": (576, (2 / 1152) ** 0.5)},
        "vgg11_bn": {"features.4.weight": (576, (2 / 1152) ** 0.5), "classifier.0.weight": (512, 0.01)},
        "densenet121": {"features.conv0.weight": (27, (2 / 27) ** 0.5)},
    }
    for name, layers in cases.items():
        model = build(name, 3, 32, 10, own=TorchvisionConfig(init=init))
        for layer, (fan_in, torchvisions) in layers.items():
            expected = (3 * fan_in) ** -0.5 if init == "default" else torchvisions
            assert spread(model, layer) == pytest.approx(expected, rel=0.05), (name, layer)
        if name == "vgg11_bn":
            zero = [bool((model.get_parameter(n) == 0).all()) for n in ("features.0.bias", "classifier.0.bias")]
            assert zero == [init == "torchvision"] * 2


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_timm_networks_are_fitted_to_the_images(name):
    check_timm(f"timm/{name}", 1, 32, 7, 2)
    assert build(f"timm/{name}", 1, 32, 7).eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


def test_timm_faults_are_one_line():
    with pytest.raises(ValueError, match="unknown model 'timm/resnet19'; did you mean 'timm/resnet1"):
        check_timm("timm/resnet19", 3, 32, 10, 2)
    with pytest.raises(ValueError, match="unknown model 'timm/zzzzzzzz'") as caught:
        check_timm("timm/zzzzzzzz", 3, 32, 10, 2)
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match="cannot train on batches of 2×1×8×8") as caught:
        check_timm("timm/vit_tiny_patch16_224", 1, 8, 10, 2)
    assert "\n" not in str(caught.value)


def test_checking_a_timm_network_leaves_the_random_state():
    before = torch.random.get_rng_state()
    check_timm("timm/test_resnet", 3, 32, 11, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
