"""pochitrain 設定ファイル (a Python config; the guide: docs/guide.ja.md).

    python scripts/prepare_digits.py      (writes data/train, data/val: 1,797 small images)
    python train.py --config configs/pochi_train_config.py

About 20 s on two CPU cores.
"""

import torchvision.transforms as transforms

# モデル設定
model_name = "resnet18"  # 'resnet18', 'resnet34', 'resnet50'
num_classes = 10  # 分類クラス数
pretrained = False  # True で事前学習済みモデルを使用 (初回はダウンロード)

# データ設定
train_data_root = "data/train"  # 訓練データのパス
val_data_root = "data/val"  # 検証データのパス (None で検証なし)
batch_size = 32
num_workers = 0

# 訓練設定
epochs = 3
learning_rate = 0.001
optimizer = "Adam"  # 'Adam', 'AdamW', 'SGD'

# スケジューラー設定
scheduler = "StepLR"  # None でスケジューラーなし
scheduler_params = {"step_size": 2, "gamma": 0.1}

# 層別学習率
enable_layer_wise_lr = False
layer_wise_lr_config = {
    "layer_rates": {
        "conv1": 0.0001,
        "bn1": 0.0001,
        "layer1": 0.0002,
        "layer2": 0.0005,
        "layer3": 0.001,
        "layer4": 0.002,
        "fc": 0.01,
    },
    "graph_config": {
        "use_log_scale": False,  # True で対数スケール
    },
}

# Early Stopping設定
early_stopping = {
    "enabled": False,
    "patience": 30,
    "min_delta": 3.0,
    "monitor": "val_accuracy",
}

# 勾配トレース設定
enable_gradient_tracking = False
gradient_tracking_config = {
    "record_frequency": 1,
    "exclude_patterns": ["fc\\.", "\\.bias"],
    "group_by_block": True,
    "aggregation_method": "median",
}

# 損失関数設定
class_weights = None  # 自動的にバランスを調整

# メトリクス・可視化設定
enable_metrics_export = True

# その他設定
work_dir = "work_dirs"
device = None  # 自動選択
cudnn_benchmark = False

# データ変換設定 (元がグレースケールの画像用の正規化)
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

train_transform = transforms.Compose(
    [
        transforms.RandomCrop(32, padding=2),
        transforms.ToTensor(),
        transforms.Normalize(mean=mean, std=std),
    ]
)
val_transform = transforms.Compose(
    [
        transforms.ToTensor(),
        transforms.Normalize(mean=mean, std=std),
    ]
)

# 混同行列設定
confusion_matrix_config = {
    "title": "混同行列",
    "xlabel": "予測ラベル",
    "ylabel": "実際ラベル",
    "fontsize": 14,
    "title_fontsize": 16,
    "label_fontsize": 12,
    "figsize": (8, 6),
    "cmap": "Blues",
}

# Optunaハイパーパラメータ最適化設定 (pochi optimize)
optuna = {
    "study_name": "pochitrain_optimization",
    "direction": "maximize",
    "n_trials": 20,
    "n_jobs": 1,
    "optuna_epochs": 2,
}
optuna["sampler"] = "TPESampler"
optuna["pruner"] = "MedianPruner"
optuna["storage"] = None
optuna["search_space"] = {
    "learning_rate": {"type": "float", "low": 1e-5, "high": 1e-1, "log": True},
    "batch_size": {"type": "categorical", "choices": [16, 32]},
    "optimizer": {"type": "categorical", "choices": ["SGD", "Adam", "AdamW"]},
}
