"""Preprocessing of TSM and TEA: Pillow's resize in exact arithmetic, crop and normalization."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.ffn2d import golden, tiny
from tests.golden.ffn2d.make_clips import odd_frame
from vbench.models.ffn.tsm import Tsm
from vbench.models.preprocess.pillow import PreprocessTsm, resize, resize_side

KEYS = (
    "source_sha256",
    "resized_size_wh",
    "resized_sha256",
    "crop",
    "tensor_grid",
    "tensor_mean",
    "tensor_std",
)


def pillow(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    shorter = min(height, width)
    size = (int(side * width / shorter), int(side * height / shorter))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def ours(picture: np.ndarray, side: int) -> np.ndarray:
    return resize(torch.from_numpy(picture).permute(2, 0, 1), side).permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("index", [0, 1, 2])
def test_odd_frames_equal_the_originals(index: int) -> None:
    frame, expected = odd_frame(index), {key: golden()[f"preprocess/{index}/{key}"] for key in KEYS}
    assert hashlib.sha256(frame.tobytes()).hexdigest() == str(expected["source_sha256"])
    resized = ours(frame, 256)
    assert resized.shape[1::-1] == tuple(expected["resized_size_wh"])
    assert hashlib.sha256(resized.tobytes()).hexdigest() == str(expected["resized_sha256"])
    actual = PreprocessTsm()(torch.from_numpy(frame)[None]).numpy()[0]
    np.testing.assert_array_equal(actual[:, ::16, ::16], expected["tensor_grid"])
    np.testing.assert_allclose(actual.mean((1, 2), dtype=np.float64), expected["tensor_mean"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(actual.std((1, 2), dtype=np.float64), expected["tensor_std"], rtol=0, atol=1e-6)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    bytes_again = np.rint((actual.transpose(1, 2, 0) * std + mean) * 255).astype(np.uint8)
    np.testing.assert_array_equal(bytes_again, expected["crop"])


@pytest.mark.parametrize(
    ("height", "width"),
    [(256, 340), (340, 256), (257, 300), (100, 100), (720, 1280), (31, 999), (512, 512), (255, 256)],
)
@pytest.mark.parametrize("side", [256, 36])
def test_resize_equals_pillows_bit_for_bit(height: int, width: int, side: int) -> None:
    picture = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(ours(picture, side), pillow(picture, side))


def test_an_image_of_the_right_size_is_unchanged() -> None:
    picture = torch.randint(0, 256, (2, 3, 256, 301), dtype=torch.uint8)
    assert resize(picture, 256) is picture
    assert (resize_side(224), resize_side(32)) == (256, 36)


def test_a_batch_equals_its_images() -> None:
    frames = torch.randint(0, 256, (3, 40, 50, 3), dtype=torch.uint8)
    preprocess = PreprocessTsm(32)
    assert preprocess(frames).shape == (3, 3, 32, 32)
    assert torch.equal(preprocess(frames), torch.cat([preprocess(frame[None]) for frame in frames]))
    part = tiny(Tsm).preprocess()
    assert torch.equal(part.module(frames), preprocess(frames)[:, None])
    assert (part.name, part.output.shape) == ("preprocess", ("n", 1, 3, 32, 32))
