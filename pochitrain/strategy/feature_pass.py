"""The output of a backbone for every image of a split."""

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pochitrain.data.cache import key_of
from pochitrain.data.dataset import ImageDataset
from pochitrain.data.features import FORMAT, Features, Rows, Wanted, files_key, obtain_features
from pochitrain.data.loader import EpochLoader
from pochitrain.data.progress import WaitDisplay
from pochitrain.engine.device import Precision
from pochitrain.engine.interrupt import StopRequest
from pochitrain.model.head import SplitModel, head_keys

WHERE = "while the features were computed; those so far are kept"


class FeaturePass:
    """Runs the backbone over images, or maps what an earlier run has kept."""

    def __init__(
        self,
        split: SplitModel,
        precision: Precision,
        request: StopRequest,
        limit: int | None,
        depends_on: Sequence[str],
    ) -> None:
        """Prepare.

        Args:
            request: checked between batches.
            limit: bytes of all files of the cache; None = keep nothing.
            depends_on: what the features depend on besides weights, images, transform, precision.
        """
        self.split = split
        self.precision = precision
        self.request = request
        self.limit = limit
        self.common = [
            FORMAT,
            hash_backbone(split).encode(),
            f"{precision.name} {precision.device.type}".encode(),
            *(text.encode() for text in depends_on),
        ]
        self.files: dict[int, list[bytes]] = {}
        """id of a split -> what tells its images from others."""

    def run(self, images: EpochLoader, transform: str, view: int, label: str) -> Features:
        """The features of all images that `images` loads, which must be in order.

        Args:
            transform: what tells the transform and its random draws from others.
            view: number of the epoch whose augmentation is used.
            label: what the progress display says.

        Raises:
            Interrupted: between two batches, after a stop request.
            DataError: for an image that cannot be read.
        """
        batch_size = images.batches.batch_size
        parts = [*self.common, transform.encode(), b"%d %d" % (view, batch_size)]
        key = key_of([*parts, *self.key_of_files(images.dataset)])
        wanted = Wanted(key, images.num_samples, self.split.layer.in_features, batch_size)

        def make(first: int) -> Iterator[Rows]:
            batches = self.request.watch(images.epoch(view, first // batch_size), WHERE)
            with WaitDisplay(label, images.num_samples) as display:
                display.done = first
                for batch in batches:
                    yield self.features(batch.images).numpy()
                    display.advance(len(batch.images))

        return obtain_features(wanted, make, self.limit, self.stop_if_asked)

    def features(self, images: Tensor) -> Tensor:
        """Float32 on the CPU, shape (B, D)."""
        with self.precision.autocast():
            return self.split.features(images).float().cpu()

    def stop_if_asked(self) -> None:
        if self.request.signal is not None:
            raise self.request.error("while another process computed the same features")

    def key_of_files(self, dataset: ImageDataset) -> list[bytes]:
        if id(dataset) not in self.files:
            self.files[id(dataset)] = files_key(dataset)
        return self.files[id(dataset)]


def hash_backbone(split: SplitModel) -> str:
    """Of all tensors but those of the head, and of the modules that use them."""
    digest = hashlib.sha256()  # with instructions of its own on most processors: half the time
    head = head_keys(split.model)
    for name, tensor in split.model.state_dict().items():
        if name in head:
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(memoryview(data.numpy()))
    for name, part in split.model.named_modules():
        if name != split.path:
            digest.update(f"{name} {type(part).__qualname__} {part.extra_repr()}\n".encode())
    return digest.hexdigest()
