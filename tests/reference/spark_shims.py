"""Stands in for torchaudio, of which spark-tts-lib needs MelSpectrogram alone and which lags behind torch's releases."""

import math
import sys
import types

import torch
import transformers.utils.import_utils  # looks for the real torchaudio when it loads: before install()


def hz_to_mel(hz: float) -> float:
    """Slaney's scale: linear below 1 kHz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) / (math.log(6.4) / 27)


def mel_to_hz(mel: torch.Tensor) -> torch.Tensor:
    return torch.where(mel < 15, mel * (200 / 3), 1000 * torch.exp((math.log(6.4) / 27) * (mel - 15)))


def filterbank(bins: int, low: float, high: float, bands: int) -> torch.Tensor:
    """[bins, bands]: triangles between neighbouring points of the mel scale, each of the same area; f32 throughout, as in
    torchaudio (f64 differs by 8e-6 of the largest)."""
    points = mel_to_hz(torch.linspace(hz_to_mel(low), hz_to_mel(high), bands + 2))
    freqs = torch.linspace(0, high, bins)[:, None]
    left, middle, right = points[:-2], points[1:-1], points[2:]
    rising, falling = (freqs - left) / (middle - left), (right - freqs) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0) * (2 / (right - left))


class MelSpectrogram(torch.nn.Module):
    """Magnitudes (power 1) of centred, reflected frames on Slaney's scale, as spark-tts-lib asks for them."""

    def __init__(self, sample_rate, n_fft, win_length, hop_length, f_min, f_max, *, n_mels, power, norm, mel_scale):
        super().__init__()
        assert (power, norm, mel_scale) == (1, "slaney", "slaney")
        self.n_fft, self.win_length, self.hop_length = n_fft, win_length, hop_length
        self.register_buffer("window", torch.hann_window(win_length), persistent=False)
        self.register_buffer("bank", filterbank(n_fft // 2 + 1, f_min, f_max or sample_rate / 2, n_mels), persistent=False)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            wav, self.n_fft, self.hop_length, self.win_length, self.window, center=True, pad_mode="reflect",
            return_complex=True,
        )
        return (spectrum.abs().transpose(-1, -2) @ self.bank).transpose(-1, -2)


def install() -> None:
    """Makes `import torchaudio` find this."""
    audio, transforms = types.ModuleType("torchaudio"), types.ModuleType("torchaudio.transforms")
    transforms.MelSpectrogram = MelSpectrogram
    audio.transforms = transforms
    sys.modules.update({"torchaudio": audio, "torchaudio.transforms": transforms})
