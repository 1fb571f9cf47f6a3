"""Lays one small picture over another as well as that goes, and says how alike they then are.

A picture that was cropped shows the other one slightly enlarged and moved. Four numbers describe
that, and the Gauss-Newton method finds them (Lucas & Kanade 1981; Baker & Matthews 2004). Likeness
is the correlation of fine detail: what is left once the mean of the surroundings is taken away. Any
two pictures of a clear sky are alike in everything else.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# P pairs, N x N pixels. Coordinates go from -1 to 1 across a picture, as in grid_sample.

COARSE_PX, COARSE_STEPS = 16, 4
FINE_STEPS = 3
LARGEST_MOVE = 0.15
"""A picture may be moved, and enlarged or reduced, by so much of half its side."""
SURROUNDINGS = 0.2
"""Detail is what differs from the mean of a square of this part of the side."""
PARTS = 4
"""Mean colours are compared in a grid of 4 x 4 parts."""
PROMISING_FROM = 0.6
"""Correlation of detail in the coarse pictures from which a closer look is worth while."""


@dataclass(frozen=True)
class Likeness:
    """How alike the pictures of each pair are; every tensor has shape (P,)."""

    correlation: Tensor
    """Of fine detail, from -1 to 1, where they overlap; 0 for pairs that are clearly different."""
    detail: Tensor
    """Standard deviation of the fine detail of the picture that has less, 0 to 1 (brightness)."""
    difference: Tensor
    """By how much the mean colour of a part of the picture differs at most, 0 to 1."""


def compare(first: Tensor, second: Tensor) -> Likeness:
    """Lay the second picture of each pair over the first and compare them.

    Args:
        first, second: RGB from 0 to 1, float32, shape (P, 3, N, N).
    """
    grey, other_grey = first.mean(1, keepdim=True), second.mean(1, keepdim=True)
    coarse, other_coarse = shrink(grey), shrink(other_grey)
    move = align(coarse, other_coarse, no_move(len(first)), COARSE_STEPS)
    found = measure(coarse, other_coarse, move)
    rows = (found.correlation >= PROMISING_FROM).nonzero()[:, 0]
    move = align(grey[rows], other_grey[rows], move[rows], FINE_STEPS)
    found = measure(first[rows], second[rows], move)
    zeros, ones = first.new_zeros(len(first)), first.new_ones(len(first))
    return Likeness(
        zeros.index_copy(0, rows, found.correlation),
        zeros.index_copy(0, rows, found.detail),
        ones.index_copy(0, rows, found.difference),
    )


def shrink(pictures: Tensor) -> Tensor:
    return F.interpolate(pictures, (COARSE_PX, COARSE_PX), mode="area")


def no_move(num_pairs: int) -> Tensor:
    """Width, height, right, down: shape (P, 4)."""
    return torch.tensor([1.0, 1.0, 0.0, 0.0]).repeat(num_pairs, 1)


def align(first: Tensor, second: Tensor, move: Tensor, steps: int) -> Tensor:
    """Where each pixel of `first` lies in `second`: x' = width x + right, y' = height y + down.

    Args:
        first, second: grey pictures, shape (P, 1, N, N).
        move: where to begin: width, height, right, down, shape (P, 4).
    """
    side = first.shape[-1]
    places = coordinates(side)
    for _ in range(steps):
        warped, inside = warp(second, move)
        warped = normalize(warped, inside)
        missing = normalize(first, inside) - warped
        right = F.pad((warped[..., 2:] - warped[..., :-2]) * (side / 4), (1, 1)) * inside
        down = F.pad((warped[..., 2:, :] - warped[..., :-2, :]) * (side / 4), (0, 0, 1, 1))
        down = down * inside
        slopes = torch.stack([right * places, down * places[:, None], right, down], 1).flatten(2)
        squares = slopes @ slopes.transpose(1, 2)
        # A ridge, so that a picture without detail in a direction stays where it is.
        ridge = 1e-3 * squares.diagonal(dim1=1, dim2=2).mean(1) + 1e-8
        squares = squares + ridge[:, None, None] * torch.eye(4)
        step = torch.linalg.solve(squares, slopes @ missing.flatten(1)[..., None])[..., 0]
        size, shift = (move + step).split(2, dim=1)
        size = size.clamp(1 - LARGEST_MOVE, 1 + LARGEST_MOVE)
        move = torch.cat([size, shift.clamp(-LARGEST_MOVE, LARGEST_MOVE)], dim=1)
    return move


def coordinates(side: int) -> Tensor:
    """Of the middles of the pixels, shape (side,)."""
    return (torch.arange(side) + 0.5) / side * 2 - 1


def warp(pictures: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures seen through `move`, and where they have pixels (1 or 0, shape (P, 1, N, N))."""
    places = coordinates(pictures.shape[-1])
    x = move[:, 0, None] * places + move[:, 2, None]
    y = move[:, 1, None] * places + move[:, 3, None]
    shape = (len(move), len(places), len(places))
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], dim=-1)
    inside = (x.abs() < 1)[:, None, None, :] & (y.abs() < 1)[:, None, :, None]
    warped = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return warped, inside.float()


def normalize(pictures: Tensor, inside: Tensor) -> Tensor:
    """Mean 0 and length 1 where `inside` is 1; elsewhere 0."""
    mean = (pictures * inside).sum((2, 3), keepdim=True) / inside.sum((2, 3), keepdim=True)
    centred = (pictures - mean) * inside
    return centred / (centred.square().sum((1, 2, 3), keepdim=True).sqrt() + 1e-6)


def measure(first: Tensor, second: Tensor, move: Tensor) -> Likeness:
    warped, inside = warp(second, move)
    own = (first - surroundings(first)) * inside
    other = (warped - surroundings(warped)) * inside
    strength = [part.square().sum((1, 2, 3)) for part in (own, other)]
    product = (own * other).sum((1, 2, 3))
    num_values = first.shape[1] * inside.sum((1, 2, 3))
    parts = F.adaptive_avg_pool2d((first - warped) * inside, PARTS).abs()
    return Likeness(
        product / ((strength[0] * strength[1]).sqrt() + 1e-12),
        (torch.minimum(*strength) / num_values).sqrt(),
        parts.flatten(1).amax(1),
    )


def surroundings(pictures: Tensor) -> Tensor:
    """The mean of the square around each pixel; the border is repeated outwards."""
    margin = round(SURROUNDINGS * pictures.shape[-1] / 2)
    padded = F.pad(pictures, (margin,) * 4, mode="replicate")
    return F.avg_pool2d(padded, 2 * margin + 1, 1)
