"""What a person reads after a mistake: one message with key, rule, value and remedy; exit code 2;
nothing left behind; and, where the config alone shows the mistake, torch not even imported."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hydra.core.config_store import ConfigStore
from PIL import Image

from pochitrain.paths import config_directory
from pochitrain.sweep.private_loader import register_plugins


def names(group: str) -> str:
    """The options of a group, as messages list them; a new one needs no change here."""
    return ", ".join(sorted(file.stem for file in (config_directory() / group).glob("*.yaml")))


SCHEDULERS = names("scheduler")

CONFIG_MISTAKES: list[tuple[str, str]] = [
    # what is typed, the whole message (or, before " ...", how it starts)
    ("scheduler=nosuch", f"scheduler must be one of {SCHEDULERS}, got 'nosuch'."),
    (
        "scheduler=steplrr",
        f"scheduler must be one of {SCHEDULERS}, got 'steplrr'. Did you mean scheduler=steplr?",
    ),
    (
        "scheduler=null",
        f"scheduler must be one of {SCHEDULERS}, got null. To switch it off use scheduler=none.",
    ),
    ("experiment=nosuch", f"experiment must be one of {names('experiment')}, got ..."),
    ("model=resnet19", f"model must be one of {names('model')}, got ..."),
    (
        "schduler=steplr",
        "schduler is not a key of the config. Did you mean scheduler? Choices: ...",
    ),
    ("modle.name=resnet18", "modle is not a key of the config. Did you mean model? Choices: ..."),
    ("model={foo:3}", "model.foo is not a key of the config. Choices: name, num_classes, ..."),
    (
        "transform.val.1.meean=1",
        "transform.val.1.meean is not a key of the config. Did you mean transform.val.1.mean? "
        "To add it write +transform.val.1.meean=VALUE.",
    ),
    (
        "layer_wise_lr=resnet layer_wise_lr.layer_rates.layyer2=1",
        "layer_wise_lr.layer_rates.layyer2 is not a key of the config. "
        "Did you mean layer_wise_lr.layer_rates.layer2? "
        "To add it write +layer_wise_lr.layer_rates.layyer2=VALUE.",
    ),
    (
        "transform.val.1.mean.foo=1",
        "transform.val.1.mean.foo is not a key of the config: transform.val.1.mean is a list, "
        "whose entries are counted from 0.",
    ),
    (
        "layer_wise_lr.layer_rates={fc:0.1}",
        "layer_wise_lr.layer_rates.fc is not a key of the config. "
        "To add it write +layer_wise_lr.layer_rates={...}.",
    ),
    ("scheduler=..", f"scheduler must be one of {SCHEDULERS}, got '..'."),
    ("scheduler=../loss/uniform", f"scheduler must be one of {SCHEDULERS}, got '../loss/uniform'."),
    ("scheduler=/", f"scheduler must be one of {SCHEDULERS}, got None."),
    ("scheduler=None", f"scheduler must be one of {SCHEDULERS}, got null. ..."),
    ("+x=1", "x is not a key of the config. Choices: epochs, learning_rate, ..."),
    (
        "scheduler=steplr scheduler.gama=1",
        "scheduler.gama is not a key of the config. Did you mean scheduler.gamma? "
        "Choices: step_size, gamma.",
    ),
    (
        "scheduler=steplr +scheduler.gama=1",
        "scheduler.gama is not a key of the config. Did you mean scheduler.gamma? "
        "Choices: step_size, gamma.",
    ),
    (
        "scheduler=none scheduler_gamma=0.5",
        "scheduler.gamma is not a key of the config. It is a key of scheduler=steplr or "
        "multisteplr or exponentiallr. Choices: factor, total_iters.",
    ),
    (
        "optimizer.momentum=0.5",
        "optimizer.momentum is not a key of the config. It is a key of optimizer=sgd. "
        "Choices: lr, fused, foreach, betas, eps, weight_decay, amsgrad.",
    ),
    (
        "data.train_root=photos",
        "data.train_root is not a key of the config. It is a key of data=folder. Choices: ...",
    ),
    ("opimizer/foo=bar", "opimizer/foo is not a group of the config. Did you mean optimizer? ..."),
    ("model@foo=resnet18", "model@foo is not in the defaults list. ..."),
    (
        "+optimizer=sgd",
        "optimizer has an option already. Choose another without the plus: optimizer=sgd.",
    ),
    ("epochs=x", "epochs must be an integer, got 'x'."),
    ("epochs=0", "epochs must be an integer >= 1, got 0."),
    ("epochs=-3", "epochs must be an integer >= 1, got -3."),
    ("epochs=true", "epochs must be an integer, got true."),
    ("epochs=1.5", "epochs must be an integer, got 1.5."),
    ("epochs=", "epochs must be an integer, got ''."),
    ("epochs=[1,2]", "epochs must be an integer, got [1,2]."),
    (
        "epochs=1,2",
        "epochs must be one value, got 1,2. To run one job for each add --multirun; "
        "a list is written epochs=[1,2].",
    ),
    (
        "--multirun hydra/launcher=ray seed=1,2 hydra.launcher.num_cpus=-1",
        "hydra.launcher.num_cpus must be a number >= 0, got -1.0.",
    ),
    (
        "--multirun hydra/launcher=ray seed=1,2 hydra.launcher.num_gpus=two",
        "hydra.launcher.num_gpus must be a number, got 'two'.",
    ),
    ("--multirun --cfg job", "--multirun cannot be combined with --cfg or --info."),
    ("epochs", "An override must be written KEY=VALUE, got 'epochs'."),
    (
        "confusion_matrix.figsize=(8,6)",
        "confusion_matrix.figsize cannot be read, got '(8,6)'. "
        "A list is written confusion_matrix.figsize=[8,6], and text with brackets "
        "'confusion_matrix.figsize=\"(8,6)\"'.",
    ),
    (
        "epochs=a(",
        "epochs cannot be read, got 'epochs=a(' (no viable alternative at input 'a('). Put ...",
    ),
    ("epochs=[1", "epochs cannot be read, got 'epochs=[1' ..."),
    ("~epochs", "epochs must have a value, got none. Leave out ~epochs to keep its default."),
    (
        "scheduler=none ~scheduler.factor",
        "scheduler.factor must have a value. Leave out ~scheduler.factor to keep its default.",
    ),
    (
        "batch_size=null",
        "batch_size must be a value other than null, got null. Leave it out to keep its default.",
    ),
    (
        "data=folder data.train_root=null",
        "data.train_root must be a value other than null, got null. "
        "It has no default: write data.train_root=VALUE.",
    ),
    ("resume=", "resume must be auto, a run directory or null, got ''."),
    ("batch_size=0", "batch_size must be an integer >= 1, got 0."),
    ("learning_rate=0", "learning_rate must be a number > 0 and <= 1, got 0.0."),
    ("learning_rate=2", "learning_rate must be a number > 0 and <= 1, got 2.0."),
    ("learning_rate=nan", "learning_rate must be a number > 0 and <= 1, got nan."),
    ("learning_rate=fast", "learning_rate must be a number, got 'fast'."),
    ("learning_rate=${optimizer.lr}", "learning_rate cannot be resolved: Recursive ..."),
    (
        "data.seed=${nope}",
        "data.seed cannot be resolved: Interpolation key 'nope' not found.",
    ),
    ("seed=-1", "seed must be an integer >= 0, got -1."),
    ("seed=9223372036854775808", "seed must be an integer < 2**63, got 9223372036854775808."),
    ("precision=fp8", "precision must be one of auto, fp32, bf16, fp16, got 'fp8'."),
    ("tune=maybe", "tune must be one of off, auto, recorded, got 'maybe'."),
    (
        "optimizer=sgd optimizer.momentum=0.9 optimizer.fused=true model.freeze=1",
        "optimizer.fused must be false or null with a momentum and layers that are frozen at first "
        "(model.freeze), got True. torch's fused kernel fails where some layers have a momentum "
        "and others none yet.",
    ),
    (
        "optimizer.fused=true optimizer.foreach=true",
        "optimizer.foreach must be false or null with optimizer.fused=true, got True.",
    ),
    ("device=tpu", "device must be cuda, cuda:N, mps, cpu or null (automatic), got 'tpu'."),
    ("mean=0.5", "mean must be a list, got 0.5. Write mean=[...]."),
    ("mean=[1,2]", "mean must be 3 numbers (red, green, blue), got [1.0, 2.0]."),
    ("mean=[a,b,c]", "mean[0] must be a number, got 'a'."),
    ("std=[0,1,1]", "std must be 3 numbers > 0 (red, green, blue), got [0.0, 1.0, 1.0]."),
    ("work_dir=", "work_dir must be a directory, got ''."),
    ("gradient_clip_norm=0", "gradient_clip_norm must be a number > 0, got 0.0."),
    ("checkpoint=5", "checkpoint must be a group of keys, got 5. Set one of them with ..."),
    ("checkpoint.every_epochs=0", "checkpoint.every_epochs must be an integer >= 1, got 0."),
    ("model.name=[a]", "model.name must be one word or a quoted string, got [a]."),
    (
        "model.num_classes=0",
        "model.num_classes must be an integer >= 1, got 0. Leave it null to take it from the data.",
    ),
    ("model=torchvision", "model.name must be given, it has no default. Add model.name=... ..."),
    (
        "data=folder",
        "data.train_root must be given, it has no default. Add data.train_root=... to the command.",
    ),
    ("data=shards", "data.train_shards must be given, it has no default. Add ..."),
    (
        "data=shards data.train_shards=a.tar data.val_shards=b.tar data.val_fraction=0.2",
        "data.val_fraction must be null with data.val_shards: validation pictures come from one "
        "place, got 0.2.",
    ),
    (
        "data=shards data.train_shards=a.tar monitor=val_loss",
        "monitor must be one of train_loss, ...",
    ),
    ("data=table", "data.table must be given, it has no default. Add data.table=... to ..."),
    ("data=table data.table=", "data.table must be a file, got ''."),
    (
        "data=table data.table=a.csv data.encoding=sjiss",
        "data.encoding must be an encoding of Python (utf-8, cp932, ...), got 'sjiss'.",
    ),
    (
        "data=table data.table=a.csv data.split_column=part data.val_fraction=0.2",
        "data.val_fraction must be null with data.split_column, which says which picture is for "
        "what, got 0.2.",
    ),
    (
        "data=table data.table=a.csv data.split_column=part data.group_column=patient",
        "data.group_by must be null with data.split_column, which says which picture is for "
        "what, got 'patient'.",
    ),
    (
        "data=table data.table=a.csv data.weight_column=w transform=mixup",
        "data.weight_column must be null with a transform that mixes pictures (transform.batch), "
        "got 'w'. Choose a transform without mixup and cutmix, or leave the weights out.",
    ),
    (
        "data=table data.table=a.csv early_stopping.enabled=true",
        "early_stopping.enabled must be false without validation pictures, got True. ...",
    ),
    ("data.num_workers=-1", "data.num_workers must be an integer >= 0, got -1. ..."),
    (
        "data.num_workers=100000",
        "data.num_workers must be an integer <= ...",
    ),
    ("data.seed=-1", "data.seed must be an integer >= 0, got -1."),
    ("data.image_size=100000", "data.image_size must be an integer <= 512, got 100000."),
    ("transform.size=100000", "transform.size must be an integer <= 4096, got 100000."),
    ("data.val_fraction=1", "data.val_fraction must be a number > 0 and < 1, got 1.0."),
    (
        "data=folder data.train_root=a data.val_root=b data.val_fraction=0.2",
        "data.val_fraction must be null when data.val_root is given, got 0.2. ...",
    ),
    ("data=folder data.train_root=a data.on_error=ask", "data.on_error must be one of error, ..."),
    ("transform.train=null", "transform は必須です (a transform is required): transform.train ..."),
    ("transform.val=[]", "transform は必須です (a transform is required): transform.val ..."),
    ("transform.train=[5]", "transform.train[0] must be a node with _target_, got 5."),
    ("transform.size=0", "transform.size must be an integer >= 8, got 0."),
    (
        "scheduler=steplr scheduler.step_size=0",
        "scheduler.step_size must be an integer >= 1, got 0. "
        "To keep the learning rate constant use scheduler=none.",
    ),
    (
        "scheduler=multisteplr scheduler.milestones=[2,[3]]",
        "scheduler.milestones[1] must be an integer, got [3].",
    ),
    (
        "scheduler=multisteplr scheduler.milestones=[2,null]",
        "scheduler.milestones[1] must be an integer, got null.",
    ),
    (
        "scheduler=multisteplr scheduler.milestones={a:1}",
        "scheduler.milestones must be a list, got {a:1}. Write scheduler.milestones=[...].",
    ),
    ("optimizer.betas=[{a:1},0.9]", "optimizer.betas[0] must be a number, got {'a': 1}."),
    ("optimizer.betas=[null,0.9]", "optimizer.betas[0] must be a number, got null."),
    (
        "layer_wise_lr.layer_rates=[1]",
        "layer_wise_lr.layer_rates must be a mapping, got [1]. "
        "Write layer_wise_lr.layer_rates={NAME:VALUE,...}.",
    ),
    ("gradient_tracking.exclude_patterns=[[a]]", "gradient_tracking.exclude_patterns[0] must ..."),
    ("allow_targets=[[1]]", "allow_targets[0] must be a string, got [1]."),
    ("allow_targets=[7]", "allow_targets[0] must be the dotted name of a class or function, ..."),
    ("compile=7", "compile must be true or false, got 7."),
    ("loss.balance=7", "loss.balance must be true or false, got 7."),
    ("data.pin_memory=-1", "data.pin_memory must be true or false, got -1."),
    ("optuna.max_failure_rate=-1", "optuna.max_failure_rate must be a number >= 0 ..."),
    ("optuna.n_jobs=1e30", "optuna.n_jobs must be an integer, got 1e30."),
    ("optuna.n_jobs=100000", "optuna.n_jobs must be an integer <= 1000, got 100000."),
    ("optuna.study_name=''", "optuna.study_name must be a name, got ''."),
    ("scheduler=multisteplr scheduler.milestones=[9,3]", "scheduler.milestones must be rising ..."),
    ("scheduler=exponentiallr scheduler.gamma=1", "scheduler.gamma must be a number > 0 and < ..."),
    ("optimizer.betas=[0.9]", "optimizer.betas must be two numbers >= 0 and < 1, got [0.9]."),
    ("optimizer=sgd optimizer.momentum=1", "optimizer.momentum must be a number >= 0 and < 1, ..."),
    ("optimizer=sgd optimizer.momentum=0 optimizer.nesterov=true", "optimizer.nesterov must ..."),
    ("loss=manual", "loss.class_weights must be given, it has no default. ..."),
    ("loss.class_weights=[1,-2]", "loss.class_weights must be one number > 0 per class, got ..."),
    (
        "loss.class_weights=[1,2,3] model.num_classes=4",
        "クラス重みの長さ(3)がクラス数(4)と一致しません: loss.class_weights must have ...",
    ),
    ("loss.label_smoothing=1", "loss.label_smoothing must be a number >= 0 and < 1, got 1.0."),
    (
        "early_stopping.monitor=accuracy",
        "early_stopping.monitor must be one of val_accuracy, val_loss, val_balanced_accuracy, ...",
    ),
    (
        "data=folder data.train_root=a early_stopping.enabled=true",
        "early_stopping.enabled must be false without validation pictures, got True. ...",
    ),
    (
        "gradient_tracking.exclude_patterns=['(']",
        "gradient_tracking.exclude_patterns[0] must be a regular expression, got '(' ...",
    ),
    ("layer_wise_lr.enabled=true", "層別学習率が有効ですが layer_rates が定義されていません: ..."),
    ("confusion_matrix.figsize=[1]", "confusion_matrix.figsize must be width and height ..."),
    ("metrics.export=maybe", "metrics.export must be true or false, got 'maybe'."),
    (
        "optimizer._target_=os.system",
        "optimizer._target_ must be an optimizer of torch.optim, got 'os.system'. "
        "If you trust it, allow it on the command line: 'allow_targets=[os.system]'.",
    ),
    ("transform.batch={_target_:os.system}", "transform.batch._target_ must be pochitrain...."),
    ("allow_targets=os.system", "allow_targets must be a list, got 'os.system'. ..."),
    ("allow_targets=[null]", "allow_targets[0] must be a string, got null."),
    (
        "callbacks.x=1",
        "callbacks.x is not a key of the config. To add it write +callbacks.x=VALUE.",
    ),
    ("+callbacks.x=1", "callbacks.x must be a node with _target_, got 1."),
    ("--foo", "Unrecognized arguments: --foo. train.py --help lists the flags."),
    ("--cfg", "Argument --cfg/-c: expected one argument. train.py --help lists the flags."),
    ("--config-name=nosuch", "--config-name must be a config file, got 'nosuch', which is ..."),
    ("--config-dir=/nosuch", "--config-dir must be a folder with config files, got '/nosuch', ..."),
    (
        "data.fold=1",
        "data.fold must be null without data.num_folds, got 1. "
        "Give the number of folds too: data.num_folds=5.",
    ),
    (
        "data.num_folds=5",
        "data.fold must be 0 to 4 with data.num_folds=5, got None. All of them, one after another: "
        "--multirun data.num_folds=5 'data.fold=range(0,5)'.",
    ),
    (
        "data.num_folds=5 data.fold=5",
        "data.fold must be 0 to 4 with data.num_folds=5, got 5. ...",
    ),
    (
        "data.num_folds=5 data.fold=0 data.val_fraction=0.3",
        "data.val_fraction must be null with data.num_folds, whose fold is what is validated on, "
        "got 0.3.",
    ),
    ("data.num_folds=1 data.fold=0", "data.num_folds must be an integer >= 2, got 1."),
    (
        "data.test_fraction=0.8",
        "data.test_fraction must be < 0.8, so that some pictures are left to train on, got 0.8.",
    ),
    (
        "data=folder data.train_root=x data.group_by=cat",
        "data.group_by must be null without data.val_fraction, data.num_folds or "
        "data.test_fraction, got 'cat'. Add data.val_fraction=0.2.",
    ),
    (
        "data=folder data.train_root=x data.val_fraction=0.2 data.group_by='['",
        "data.group_by must be a regular expression, got '[' ...",
    ),
    (
        "data=folder data.train_root=x data.val_fraction=0.2 data.group_by='(a)(b)'",
        "data.group_by must be a regular expression with at most one ( ), which is the group of a "
        "picture, got '(a)(b)'. Write (?: ) for the others.",
    ),
    (
        "data=folder data.train_root=x data.val_fraction=0.2 data.split_by_time=clock",
        "data.split_by_time must be one of exif, file, got 'clock'.",
    ),
    (
        "data=folder data.train_root=x data.val_fraction=0.2 data.split_by_time=exif "
        "data.group_by=cat",
        "data.split_by_time must be null with data.group_by: a split is by groups or by time, "
        "got 'exif'.",
    ),
    (
        "data=folder data.train_root=x data.num_folds=5 data.fold=0 data.split_by_time=exif",
        "data.split_by_time must be null with data.num_folds: folds have no order in time, "
        "got 'exif'.",
    ),
    (
        "data=folder data.train_root=x data.val_root=y data.num_folds=5 data.fold=0",
        "data.num_folds must be null when data.val_root is given, got 5. "
        "Validation pictures come from one place.",
    ),
    (
        "data=folder data.train_root=x data.test_root=y data.test_fraction=0.1",
        "data.test_fraction must be null when data.test_root is given, got 0.1. "
        "Test pictures come from one place.",
    ),
]


NO_PACKAGE = (
    "experiment/mine.yaml must start with the line '# @package _global_' and set keys of the "
    "config below it (epochs: 20). It lacks that line, is empty, or holds something other than "
    "keys."
)


def check_message(seen: str, wanted: str) -> None:
    """`seen` is `wanted` and a line end; " ..." in `wanted` leaves the rest open, on one line."""
    assert seen.endswith("\n")
    assert "\n" not in seen[:-1]
    if wanted.endswith("..."):
        assert seen.startswith(wanted.removesuffix("...").rstrip())
    else:
        assert seen == wanted + "\n"


@pytest.mark.parametrize(("typed", "message"), CONFIG_MISTAKES)
def test_config_mistake(
    pochi: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, message: str
) -> None:
    run_module = ModuleType("pochitrain.run.train")  # has no `train`: importing it is a failure
    monkeypatch.setitem(sys.modules, "pochitrain.run.train", run_module)
    outcome = pochi(*typed.replace("['(']", "[\\(]").split(" "))
    assert outcome.code == 2
    assert outcome.out == ""
    check_message(outcome.err, message)
    assert list(tmp_path.iterdir()) == []


def photos(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40, 40)).save(root / name / f"{i}.png")


FOLDER = "data=folder data.train_root=photos "
DATA_MISTAKES: list[tuple[str, str]] = [
    (
        "data=folder data.train_root=nosuch",
        "data.train_root must be a folder of class folders (ROOT/<class>/*.jpg), got 'nosuch', ...",
    ),
    (
        "data=folder data.train_root=photos/cat",
        "data.train_root must hold one folder for each class (ROOT/<class>/*.jpg), got ...",
    ),
    (FOLDER + "data.val_root=nosuch", "data.val_root must be a folder of class folders ..."),
    (
        FOLDER + "data.val_root=strange",
        "data.val_root must only hold classes of data.train_root, got 'bird' in 'strange'. "
        "Classes: cat, dog.",
    ),
    (
        FOLDER + "data.val_root=photos",
        "data.val_root must be a folder of other pictures than data.train_root, got 'photos'. ...",
    ),
    (
        FOLDER + "transform.size=32 gradient_accumulation=7",
        "gradient_accumulation must be at most the number of batches in an epoch (1), got 7. ...",
    ),
    (
        FOLDER + "loss._target_=torch.nn.MSELoss",
        "loss must be computable from logits, shape (B, C), and class indices, shape (B,), ...",
    ),
    (
        "data=folder data.train_root=empty",
        "data.train_root must not hold empty class folders, got empty/dog. Add pictures ...",
    ),
    (
        FOLDER + "loss.class_weights=[1,2,3]",
        "クラス重みの長さ(3)がクラス数(2)と一致しません: loss.class_weights must have one ...",
    ),
    (
        FOLDER + "model.num_classes=3",
        "model.num_classes must be the number of classes in the data (2: cat, dog), got 3. ...",
    ),
    (FOLDER + "device=cuda:99", "device must be ..."),
    (
        FOLDER + "transform.train=[{_target_:torchvision.transforms.v2.RandomHorizontalFlip}]",
        "transform.train must give a float tensor of shape (3, H, W), got Image. "
        "Add torchvision.transforms.ToTensor before Normalize.",
    ),
    (
        FOLDER + "transform.val=[{_target_:torchvision.transforms.v2.Resise}]",
        "transform.val[0]._target_ must be a transform of torchvision.transforms or "
        "torchvision.transforms.v2, or a layer of torch.nn, got "
        "'torchvision.transforms.v2.Resise', which is not there. Did you mean Resize? ...",
    ),
    (
        FOLDER + "transform.train.0.sise=3",
        "transform.train[0] cannot be built: ...",
    ),
    (
        FOLDER + "model=torchvision model.name=resnet19",
        "model.name must be a torchvision classification model, got 'resnet19'. Did you mean ...",
    ),
    (FOLDER + "model.weights=nosuch.pth", "model.weights must be a file, got 'nosuch.pth', ..."),
    (
        FOLDER + "model.weights=photos/cat/0.png",
        "model.weights must be a state dict saved by torch.save, got 'photos/cat/0.png' ...",
    ),
    (
        FOLDER + "optimizer._target_=torch.optim.RMSprop",
        "optimizer cannot be built: ...",
    ),
    (
        FOLDER + "+callbacks.mine={_target_:torch.nn.Identity} allow_targets=[torch.nn.Identity]",
        "callbacks.mine must be a subclass of pochitrain.engine.callback.Callback, got 'Identity'. "
        "docs/callback.md has an example.",
    ),
    (
        FOLDER + "transform.size=32 batch_size=1",
        "batch_size must be >= 2 for this model at 32 x 32 px (batch norm cannot work on one ...",
    ),
    (
        FOLDER + "transform.size=32 model=torchvision model.name=inception_v3",
        "The model does not accept pictures of 32 x 32 px (...",
    ),
    (
        FOLDER + "work_dir=photos/cat/0.png/runs",
        "work_dir must be a directory that can be written to, got 'photos/cat/0.png/runs' ...",
    ),
    (
        FOLDER + "data.val_fraction=0.2 data.test_root=photos",
        "data.test_root must be a folder of other pictures than data.train_root, got 'photos'. ...",
    ),
    (
        FOLDER + "data.test_root=strange",
        "data.test_root must only hold classes of data.train_root, got 'bird' in 'strange'. ...",
    ),
    (
        FOLDER + "data.num_folds=4 data.fold=0",
        "data.num_folds must be at most the number of pictures of each class, got 4. "
        "cat 3, dog 3. data.num_folds=3 would do.",
    ),
    (
        FOLDER + "data.val_fraction=0.5 data.group_by=lot",
        "data.group_by must find a group in the path of every picture below 'photos', got 'lot', "
        "which finds none in any: cat/0.png, cat/1.png, cat/2.png and 3 more. ...",
    ),
    (
        FOLDER + "data.val_fraction=0.5 data.group_by='^(cat|dog)'",
        "data.group_by must give every class at least 2 groups, for training and validation, got "
        "cat 1, dog 1. Collect more, ask for fewer parts, leave such a class out, or group by ...",
    ),
    (
        FOLDER + "data.val_fraction=0.5 data.split_by_time=exif",
        "data.split_by_time=exif must find a time in every picture, got none in 6 of 6: "
        "photos/cat/0.png, photos/cat/1.png, photos/cat/2.png and 3 more. ...",
    ),
]


@pytest.mark.parametrize(("typed", "message"), DATA_MISTAKES)
def test_data_mistake(pochi: Callable, tmp_path: Path, typed: str, message: str) -> None:
    photos(tmp_path / "photos")
    photos(tmp_path / "empty")
    for path in (tmp_path / "empty" / "dog").iterdir():
        path.unlink()
    photos(tmp_path / "strange")
    (tmp_path / "strange" / "dog").rename(tmp_path / "strange" / "bird")
    before = sorted(tmp_path.rglob("*"))
    words = typed.replace("transform.train.0.sise=3", "+transform.train.0.sise=3").split(" ")
    outcome = pochi(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    check_message(outcome.err, message)
    assert sorted(tmp_path.rglob("*")) == before


def test_every_unreadable_picture_is_named_at_once(pochi: Callable, tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    (tmp_path / "photos" / "cat" / "bad.png").write_bytes(b"no picture")
    good = (tmp_path / "photos" / "dog" / "0.png").read_bytes()
    (tmp_path / "photos" / "dog" / "torn.png").write_bytes(good[: len(good) // 2])
    outcome = pochi("data=folder", "data.train_root=photos")
    assert outcome.code == 2
    assert outcome.err.startswith("data holds 2 unreadable picture(s):\n")
    assert "photos/cat/bad.png: not a picture\n" in outcome.err
    assert "photos/dog/torn.png: " in outcome.err
    assert "data.on_error=skip" in outcome.err
    assert not (tmp_path / "outputs").exists()


def test_no_network_names_the_file_and_the_way_out(
    pochi: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(tmp_path / "photos")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # Nothing listens on port 9 of this machine: the download fails at once, as without a network.
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    outcome = pochi("data=folder", "data.train_root=photos", "model.pretrained=true")
    assert outcome.code == 2
    message = outcome.err.splitlines()[-1]
    assert message.startswith("model.pretrained=true needs resnet18-")
    assert str(tmp_path / "torch" / "hub" / "checkpoints") in message
    assert "model.pretrained=false" in message
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "optimizer:\n  weight_decay: fast\n",
            "optimizer.weight_decay must be a number, got 'fast'. "
            "It is set in experiment/mine.yaml.",
        ),
        (
            "optimizer:\n  weight_decai: 0.1\n",
            "optimizer.weight_decai is not a key of the config. "
            "Did you mean optimizer.weight_decay? ...",
        ),
        (
            "defaults:\n  - override /optimizer: best\n",
            f"optimizer must be one of {names('optimizer')}, got 'best'. "
            "experiment/mine.yaml chooses it. If it is an option of your own, name the folder that "
            "holds optimizer/best.yaml: "
            "--config-dir DIR, or 'hydra.searchpath=[file://DIR]' beside another --config-dir.",
        ),
        ("- epochs\n", NO_PACKAGE),
        ("optimizer: [\n", "A config file is not YAML: while parsing ..."),
        ("allow_targets: [os.system]\n", "allow_targets must be given on the command line, ..."),
    ],
)
def test_mistake_in_a_file_of_the_person(
    pochi: Callable, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n" + text, encoding="utf-8")
    outcome = pochi("--config-dir=conf", "experiment=mine")
    assert outcome.code == 2
    check_message(outcome.err, message)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    "text",
    [
        "epochs: 3\n",
        "",
        "- epochs\n",
        "# my first try\n# @package _global_\n",
        "defaults:\n  - override /optimizer: sgd\nepochs: 3\n",
    ],
)
def test_experiment_without_its_first_line(pochi: Callable, tmp_path: Path, text: str) -> None:
    path = tmp_path / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    outcome = pochi("--config-dir=conf", "experiment=mine", "--cfg=job")
    assert (outcome.code, outcome.err) == (2, f"{NO_PACKAGE}\n")


def test_option_that_is_a_list(pochi: Callable, tmp_path: Path) -> None:
    path = tmp_path / "conf" / "optimizer" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("- lr\n", encoding="utf-8")
    outcome = pochi("--config-dir=conf", "optimizer=mine")
    assert outcome.code == 2
    check_message(outcome.err, "optimizer must be a mapping (KEY: VALUE), got ['lr'].")


def test_python_config_that_is_none(pochi: Callable, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("epochs = 3\n", encoding="utf-8")
    outcome = pochi("--config", "notes.txt")
    assert outcome.code == 2
    check_message(outcome.err, "--config must be a Python file (NAME.py), got 'notes.txt'.")


def test_option_that_only_the_python_config_knows(pochi: Callable, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("overrides = {'optimizer': 'nadam'}\n", encoding="utf-8")
    outcome = pochi("--config", "old.py")
    assert outcome.code == 2
    assert "got 'nadam'. " in outcome.err
    assert " old.py chooses it. " in outcome.err
    assert "optimizer/nadam.yaml: --config-dir DIR" in outcome.err


def test_mistake_in_a_sweep_is_found_before_the_first_job(pochi: Callable, tmp_path: Path) -> None:
    outcome = pochi("--multirun", "epochs=1,x")
    assert outcome.code == 2
    check_message(
        outcome.err,
        "epochs must be an integer, got 'x'. (1 of 2 jobs, the one with epochs=x; none was "
        "started.)",
    )
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("search", ["none", "default"])
def test_a_launcher_whose_package_is_missing(
    pochi: Callable, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    register_plugins(every=True)
    stored = ConfigStore.instance().repo["hydra"]["launcher"]
    monkeypatch.delitem(stored, "submitit_slurm.yaml")
    outcome = pochi("--multirun", f"optuna={search}", "hydra/launcher=submitit_slurm")
    assert outcome.code == 2
    assert outcome.err == (
        "hydra/launcher=submitit_slurm needs a package that is not installed. "
        "Type: pip install 'pochitrain[submitit]'\n"
    )


def test_the_table_is_long_enough() -> None:
    assert len(CONFIG_MISTAKES) + len(DATA_MISTAKES) >= 40
