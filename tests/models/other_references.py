"""Nets in PyTorch that are neither torchvision's nor timm's as they are."""

import importlib
from functools import partial


def _unet(num_classes=2, n_channels=3, bilinear=False, width=64):
    torch = importlib.import_module("torch")
    nn = torch.nn

    class Double(nn.Module):
        def __init__(self, channels, out, inner=None):
            super().__init__()
            rows = []
            for before, after in ((channels, inner or out), (inner or out, out)):
                rows.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
                rows += [nn.BatchNorm2d(after), nn.ReLU()]
            self.double_conv = nn.Sequential(*rows)

        def forward(self, x):
            return self.double_conv(x)

    class Down(nn.Module):
        def __init__(self, channels, out):
            super().__init__()
            self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Double(channels, out))

        def forward(self, x):
            return self.maxpool_conv(x)

    class Up(nn.Module):
        def __init__(self, channels, out):
            super().__init__()
            half = channels // 2
            self.up = nn.ConvTranspose2d(channels, half, 2, stride=2)
            if bilinear:
                self.up = nn.Upsample(
                    scale_factor=2, mode="bilinear", align_corners=True
                )
            self.conv = Double(channels, out, half if bilinear else None)

        def forward(self, x, kept):
            x = self.up(x)
            high, wide = (
                a - b for a, b in zip(kept.shape[2:], x.shape[2:], strict=True)
            )
            sides = (wide // 2, wide - wide // 2, high // 2, high - high // 2)
            x = nn.functional.pad(x, sides)
            return self.conv(torch.cat([kept, x], 1))

    class Out(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(width, num_classes, 1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            part = 2 if bilinear else 1
            down = [width * 2**i for i in range(4)] + [16 * width // part]
            up = [16 * width, *[width * 2**i // part for i in (3, 2, 1)], width]
            self.inc = Double(n_channels, width)
            for i in range(4):
                setattr(self, f"down{i + 1}", Down(down[i], down[i + 1]))
            for i in range(4):
                setattr(self, f"up{i + 1}", Up(width * 2 ** (4 - i), up[i + 1]))
            self.outc = Out()

        def forward(self, x):
            kept = [self.inc(x)]
            for i in range(4):
                kept.append(getattr(self, f"down{i + 1}")(kept[-1]))
            x = kept.pop()
            for i in range(4):
                x = getattr(self, f"up{i + 1}")(x, kept.pop())
            return self.outc.conv(x)

    return Net()


def _nasnet_mobile(num_classes=1000):
    """Return the small net, of the cells of timm's large one."""
    torch = importlib.import_module("torch")
    timm = importlib.import_module("timm.models.nasnet")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            large = timm.NASNetALarge(num_classes, stem_size=32, num_features=1056)
            for name in ("conv0", "cell_stem_0", "cell_stem_1"):
                setattr(self, name, getattr(large, name))
            wide = 44
            sides = [(wide, wide // 2, 2 * wide, wide)]
            sides += [(2 * wide, wide, 6 * wide, wide)]
            sides += [(6 * wide, wide, 6 * wide, wide)] * 2
            self._stage(0, sides)
            for stage, name in ((1, "ReductionCell0"), (2, "ReductionCell1")):
                before, wide = wide, 2 * wide
                cell = getattr(timm, name)(
                    6 * before, wide, 6 * before, wide, pad_type="same"
                )
                setattr(self, f"reduction_cell_{stage - 1}", cell)
                sides = [(6 * before, before, 4 * wide, wide)]
                sides += [(4 * wide, wide, 6 * wide, wide)]
                sides += [(6 * wide, wide, 6 * wide, wide)] * 2
                self._stage(stage, sides)
            self.last_linear = torch.nn.Linear(1056, num_classes)

        def _stage(self, stage, sides):
            for i, row in enumerate(sides):
                kind = timm.FirstCell if i == 0 else timm.NormalCell
                setattr(self, f"cell_{4 * stage + i}", kind(*row, pad_type="same"))

        def forward(self, x):
            first = self.conv0(x)
            before = self.cell_stem_0(first)
            x = self.cell_stem_1(first, before)
            for stage in range(3):
                if stage:
                    cell = getattr(self, f"reduction_cell_{stage - 1}")
                    before, x = x, cell(x, before)
                for i in range(4):
                    cell = getattr(self, f"cell_{4 * stage + i}")
                    before, x = x, cell(x, before)
            return self.last_linear(torch.relu(x).mean((2, 3)))

    return Net()


GPT2 = {
    "gpt2": (768, 12, 12), "gpt2_medium": (1024, 24, 16), "gpt2_large": (1280, 36, 20),
    "gpt2_xl": (1600, 48, 25),
}  # fmt: skip
BERT = {
    "bert_base_uncased": (768, 12, 12, 3072),
    "bert_large_uncased": (1024, 24, 16, 4096),
    "bert_base_uncased_masked_lm": (768, 12, 12, 3072),
    "all_minilm_l6_v2": (384, 6, 12, 1536),
}  # fmt: skip
TEXTS = (*GPT2, *BERT)


def _language_model(name, device="meta"):
    """Return a net of transformers, without any numbers: some would fill the memory."""
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    with torch.device(device):
        if name in GPT2:
            width, layers, heads = GPT2[name]
            config = transformers.GPT2Config(n_embd=width, n_layer=layers, n_head=heads)
            return transformers.GPT2LMHeadModel(config)
        width, layers, heads, inner = BERT[name]
        config = transformers.BertConfig(
            hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
            intermediate_size=inner,
        )  # fmt: skip
        if name.endswith("masked_lm"):
            return transformers.BertForMaskedLM(config)
        return transformers.BertModel(config)


def _efficientnet(width, depth, dropout, num_classes=1000):
    """Return one of EfficientNetV2-B0 to B3, of torchvision's blocks."""
    torch = importlib.import_module("torch")
    found = importlib.import_module("torchvision.models.efficientnet")
    rows = [
        found.FusedMBConvConfig(1, 3, 1, 32, 16, 1),
        found.FusedMBConvConfig(4, 3, 2, 16, 32, 2),
        found.FusedMBConvConfig(4, 3, 2, 32, 48, 2),
        found.MBConvConfig(4, 3, 2, 48, 96, 3),
        found.MBConvConfig(6, 3, 1, 96, 112, 5),
        found.MBConvConfig(6, 3, 2, 112, 192, 8),
    ]
    for row in rows:
        row.input_channels = int(row.input_channels * width + 4) // 8 * 8
        row.out_channels = int(row.out_channels * width + 4) // 8 * 8
        row.num_layers = -int(-row.num_layers * depth // 1)
    return found.EfficientNet(
        rows, dropout, num_classes=num_classes,
        last_channel=int(1280 * width + 4) // 8 * 8,
        norm_layer=partial(torch.nn.BatchNorm2d, eps=1e-3),
    )  # fmt: skip


def _convnext_xlarge(**options):
    found = importlib.import_module("torchvision.models.convnext")
    widths = (256, 512, 1024, 2048, None)
    rows = [
        found.CNBlockConfig(widths[i], widths[i + 1], depth)
        for i, depth in enumerate((3, 3, 27, 3))
    ]
    return found.ConvNeXt(rows, **options)


NETS = {"unet": _unet, "nasnet_mobile": _nasnet_mobile}
NETS |= {
    f"efficientnet_v2_b{i}": partial(_efficientnet, *sizes)
    for i, sizes in enumerate(
        ((1.0, 1.0, 0.2), (1.0, 1.1, 0.2), (1.1, 1.2, 0.3), (1.2, 1.4, 0.3))
    )
}
NETS["convnext_xlarge"] = _convnext_xlarge
NETS |= {name: partial(_language_model, name) for name in TEXTS}
