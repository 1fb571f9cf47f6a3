"""The texts of the pages in Japanese, by the English ones that stand in templates and code."""

JAPANESE = {
    # All pages
    "Close": "閉じる",
    "Contents": "目次",
    "Copied": "コピーしました",
    "Copy": "コピー",
    "What is missing here": "このページにないもの",
    "Curves": "学習曲線",
    "Small: 95 % intervals.": "小さな数字は 95 % 信頼区間です.",
    # The head of a run
    "Report of a training run": "訓練レポート",
    "{metric} on {num:,} validation pictures": "検証画像 {num:,} 枚での{metric}",
    "95 % interval": "95 % 信頼区間",
    "Best of {num:,} epochs (epoch {epoch:,}), chosen on these pictures: a little too good.": (
        "{num:,} エポック中の最良 (エポック {epoch:,}). この画像で選んだため, 少し高めの値です."
    ),
    "Best of {num:,} epochs (epoch {epoch:,}), chosen on these pictures: untouched ones would show "
    "about {value}.": (
        "{num:,} エポック中の最良 (エポック {epoch:,}). この画像で選んだ値なので, "
        "未使用の画像では約 {value} と見込まれます."
    ),
    "The interval is from resampling whole groups of pictures.": (
        "信頼区間はグループ単位で求めています."
    ),
    "The pictures belong to groups, which are not known here: the intervals are too narrow.": (
        "画像はグループに属しますが, ここではグループが分からないため, "
        "信頼区間は実際より狭くなっています."
    ),
    "This run has no validation result.": "この実行には検証結果がありません.",
    "on {num:,} test pictures that nothing else has seen": (
        "ほかでは一度も使っていないテスト画像 {num:,} 枚での正答率"
    ),
    "on {num:,} test pictures, {seen:,} of which are in training or validation too": (
        "テスト画像 {num:,} 枚での正答率 (うち {seen:,} 枚は訓練または検証データにもあります)"
    ),
    "State of the run: {status}": "実行の状態: {status}",
    "running": "実行中",
    "interrupted": "中断",
    "failed": "失敗",
    "finished": "完了",
    "unknown": "不明",
    "Stopped after epoch {epoch}: {reason}": "エポック {epoch} で終了: {reason}",
    "calibration error": "較正誤差",
    "0 is honest": "0 が理想",
    "{num:,} of the validation pictures are in training too, so the accuracy is too high.": (
        "検証画像のうち {num:,} 枚は訓練データにもあるため, 正答率は実際より高く出ています."
    ),
    "Without them it is {value:.2f} %.": "それらを除くと {value:.2f} % です.",
    # Its sections
    "Confusions": "混同",
    "Mistakes": "誤分類",
    "Classes": "クラス",
    "Confidence": "確信度",
    "Gradients": "勾配",
    "Data": "データ",
    "Config": "設定",
    "Use it": "使い方",
    "The dotted line marks the best epoch, whose values are shown. Point at a chart for those of "
    "another one.": (
        "点線が最良エポックです. グラフにカーソルを合わせるとその位置の値を, "
        "それ以外のときは最良エポックの値を示します."
    ),
    "Rows are true classes, columns predicted ones. Choose a cell to see its pictures.": (
        "行が正解のクラス, 列がモデルの答えです. セルを選ぶとその画像が開きます."
    ),
    "Of {num:,} classes, these {shown} are mixed up most.": (
        "{num:,} クラスのうち, とくに混同の多い {shown} クラスです."
    ),
    "{true} predicted as {predicted}: {num} pictures": "正解 {true}, 予測 {predicted}: {num} 枚",
    "Most frequent confusions": "多い混同",
    "true class": "正解",
    "predicted": "予測",
    "pictures": "画像",
    "of the class": "クラス内の割合",
    "Most confident mistakes": "確信度の高い誤分類",
    "{wrong:,} of {num:,} pictures are misclassified.": (
        "{num:,} 枚中 {wrong:,} 枚を誤って分類しました."
    ),
    "Paths are below {root}": "パスは {root} 以下です.",
    "is {true}": "正解は {true}",
    "in training too: {twin}": "訓練データにもあります: {twin}",
    "Show all mistakes": "すべての誤分類を表示",
    "Recall: the share of a class that is recognised. Precision: the share of the pictures "
    "predicted as a class that belong to it. Small: 95 % intervals.": (
        "再現率: そのクラスの画像のうち, 正しく答えた割合. 適合率: そのクラスと答えた画像のうち, "
        "本当にそのクラスである割合. 小さな数字は 95 % 信頼区間です."
    ),
    "Of {num:,} classes, these {shown:,} have the lowest recall.": (
        "{num:,} クラスのうち, 再現率の低い {shown:,} クラスです."
    ),
    "class": "クラス",
    "training": "訓練",
    "validation": "検証",
    "recall": "再現率",
    "precision": "適合率",
    "Is its confidence honest?": "確信度は信頼できるか",
    "Below the dashed line, the model is right less often than its confidence says. The larger a "
    "dot, the more pictures.": (
        "点が破線より下にあれば, 実際の正答率より自信過剰です. 大きな点ほど多くの画像を含みます."
    ),
    "Mean distance from the line (ECE): {error:.3f}.": "破線との平均の差 (ECE): {error:.3f}.",
    "<code>pochi calibrate</code> corrects that.": "<code>pochi calibrate</code> で較正できます.",
    "confidence": "確信度",
    "mean confidence": "平均確信度",
    "mean confidence (%)": "平均確信度 (%)",
    "accuracy (%)": "正答率 (%)",
    "Confidence and accuracy": "確信度と正答率",
    "Below each: what speaks for the wrong class, the brighter the more.": (
        "下の図は, 誤った答えの根拠となった部分です (明るいほど強い)."
    ),
    "Where the model looks": "モデルが見ている部分",
    "Map": "分布図",
    "Map of the validation pictures": "検証画像の分布図",
    "Pictures that are near each other look alike to the model (features, two principal "
    "components). Crosses are mistakes. Point at one to see it.": (
        "近くにある画像ほど, モデルには似て見えます (特徴量の第 1, 第 2 主成分). × は誤分類です. "
        "点を指すとその画像が出ます."
    ),
    "From the input (dark) to the output (light), on a logarithmic axis.": (
        "入力側から出力側の順. 縦軸は対数です."
    ),
    "{train:,} for training, {val:,} for validation": "訓練 {train:,} 枚, 検証 {val:,} 枚",
    ", {test:,} for the test": ", テスト {test:,} 枚",
    "split": "分割",
    "unreadable": "読めない画像",
    "{num:,} pictures were left out": "{num:,} 枚を除外しました",
    "leaks": "重複 (リーク)",
    "{num:,} validation pictures are, or nearly are, in training too (leaked_pictures.csv)": (
        "検証画像 {num:,} 枚が, 訓練データにも同じかほぼ同じ形であります (leaked_pictures.csv)"
    ),
    "none known": "見つかっていません",
    "data check": "データの点検",
    "nothing to report": "指摘なし",
    "not done: <code>pochi data check</code> looks for duplicates, wrong labels and bad files": (
        "未実施. <code>pochi data check</code> で重複, 誤ったラベル, 壊れたファイルを調べられます"
    ),
    "What differs from the defaults.": "既定値と異なる設定です.",
    "The config cannot be compared with the defaults of this version.": (
        "この版の既定値とは比べられない設定です."
    ),
    "key": "キー",
    "value": "値",
    "option": "選択肢",
    "nothing": "なし",
    "The whole config": "すべての設定",
    "Repeat, use and deploy it": "再現と利用",
    "Run these in the folder where the training was started.": (
        "訓練を始めたフォルダで実行してください."
    ),
    "Environment": "環境",
    "software": "ソフトウェア",
    "system": "システム",
    "folder": "フォルダ",
    " (with changes)": " (変更あり)",
    # Its dialog
    "All mistakes": "すべての誤分類",
    "Pictures of {true}": "{true} の画像",
    "{true}, classified correctly": "{true}: 正解した画像",
    "{true} predicted as {predicted}": "正解 {true}, 予測 {predicted}",
    "{shown} of {count} pictures are on this page.": (
        "{count} 枚のうち {shown} 枚がこのページにあります."
    ),
    "None of these {count} pictures is on this page.": (
        "この {count} 枚の画像はこのページにありません."
    ),
    # Its commands
    "Train it again": "もう一度訓練する",
    "Classify pictures": "画像を分類する",
    "Show where it looks": "根拠となった部分を示す",
    "From Python": "Python から使う",
    "Make its confidence honest": "確信度を較正する",
    "Export it as ONNX": "ONNX に書き出す",
    "Answer over HTTP": "HTTP で応答する",
    "Compare it with another run": "ほかの実行と比べる",
    "Make this page again": "このページを作り直す",
    # Its curves
    "Loss": "損失",
    "Accuracy": "正答率",
    "Further metrics": "その他の指標",
    "Learning rate": "学習率",
    "Learning rate by layer": "層ごとの学習率",
    "Gradient norm by layer": "層ごとの勾配ノルム",
    "epoch": "エポック",
    "learning rate": "学習率",
    "validation, averaged weights": "検証 (重みの平均)",
    "best epoch: {epoch}": "最良エポック: {epoch}",
    # Metrics
    "accuracy": "正答率",
    "accuracy of the top {k}": "上位 {k} 位までの正答率",
    "accuracy without leaked pictures": "重複を除いた正答率",
    "balanced accuracy": "均衡正答率",
    "loss": "損失",
    "macro F1": "マクロ F1",
    "weighted F1": "加重 F1",
    "worst class recall": "最低クラスの再現率",
    "MCC": "MCC",
    # Its plan
    "data": "データ",
    "classes": "クラス数",
    "model": "モデル",
    "strategy": "戦略",
    "input": "入力",
    "device": "デバイス",
    "seed": "シード",
    "{num:,} parameters": "パラメータ {num:,} 個",
    "{num} epochs": "{num} エポック",
    "{done} of {num} epochs": "{num} エポック中 {done} エポック",
    "batches of {size}": "バッチ {size}",
    "{optimizer} at {rate}": "{optimizer} (学習率 {rate})",
    # What it lacks
    "This run is older than the table of pictures by class and split.": (
        "クラスと分割ごとの枚数を記録しない, 古い版の実行です."
    ),
    "No pictures and no predictions for them: {why}": "画像とその予測がありません: {why}",
    "No pictures: {why}": "画像がありません: {why}",
    "The run directory has no usable {file}.": "実行ディレクトリに使える {file} がありません.",
    # Kinds of findings
    "exact duplicate": "同一の画像",
    "near duplicate": "ほぼ同じ画像",
    "label": "疑わしいラベル",
    "tiny": "小さすぎる",
    "huge": "大きすぎる",
    "blank": "一色",
    "dark": "暗い",
    "bright": "明るい",
    "blurry": "ぼけ",
    "odd mode": "珍しい形式",
    "odd shape": "細長い",
    "cut": "大きく切り抜かれる",
    "few pictures": "画像の少ないクラス",
    "only one side": "検証にないクラス",
    "imbalance": "クラスの偏り",
    # A search
    "Report of a search": "探索レポート",
    "{metric} of the best trial, number {number}": "最良の試行 (番号 {number}) の{metric}",
    "The best of many trials on the same pictures is a little too good. Train its config once "
    "more, and test it on pictures that the search has not seen.": (
        "同じ画像で多くの試行から選んだ値なので, 少し高めです. この設定でもう一度訓練し, "
        "探索に使っていない画像で確かめてください."
    ),
    "No trial has been completed.": "完了した試行がありません.",
    "trials": "試行",
    "{done:,} completed, {pruned:,} pruned, {failed:,} failed": (
        "完了 {done:,}, 枝刈り {pruned:,}, 失敗 {failed:,}"
    ),
    "time": "時間",
    "{spent:,.0f} s, pruning saved about {saved:,.0f} s": (
        "{spent:,.0f} 秒. 枝刈りで約 {saved:,.0f} 秒を節約"
    ),
    "all trials": "全試行",
    "{mean:.4g} ± {std:.2g} (mean, standard deviation), worst {worst:.4g}": (
        "{mean:.4g} ± {std:.2g} (平均, 標準偏差), 最低 {worst:.4g}"
    ),
    "Progress": "経過",
    "Parameters": "パラメータ",
    "Trials": "試行",
    "Best config": "最良の設定",
    "The better a trial, the lighter its line; pruned trials are faint.": (
        "良い試行ほど明るい線です. 枝刈りされた試行は薄く示します."
    ),
    "Pruned trials are faint.": "枝刈りされた試行は薄く示します.",
    "Importance": "重要度",
    "Parameters and value": "パラメータと値",
    "A line per completed trial, the better the lighter; the best one is thick.": (
        "完了した試行ごとに 1 本の線です. 最良の試行は太い線です."
    ),
    "trial": "試行",
    "state": "状態",
    "complete": "完了",
    "pruned": "枝刈り",
    "fail": "失敗",
    "epochs": "エポック数",
    "seconds": "秒",
    "best": "最良",
    "The files optimized.yaml and optimized_config.py hold it. To train it for longer:": (
        "optimized.yaml と optimized_config.py にあります. この設定で長く訓練するには:"
    ),
    "There is none yet.": "まだありません.",
    "More graphs:": "その他のグラフ:",
    "Value by trial": "試行ごとの値",
    "Every trial by epoch": "各試行のエポックごとの値",
    "of the trial": "試行の値",
    "best so far": "それまでの最良",
    "trial {number}": "試行 {number}",
    "trial {number}: {value:.4g}": "試行 {number}: {value:.4g}",
    "The directory has no usable {file}.": "ディレクトリに使える {file} がありません.",
    "The directories of the trials are gone, so there are no curves.": (
        "試行のディレクトリがないため, 曲線はありません."
    ),
    # A multirun
    "Report of a multirun": "マルチラン レポート",
    "{num:,} runs of {settings:,} settings, the best mean first. Runs of a setting differ by their "
    "seed or fold only.": (
        "{settings:,} 通りの設定, {num:,} 回の実行. 平均の高い順です. "
        "同じ設定の実行はシードと fold だけが異なります."
    ),
    "Small differences may be chance: <code>pochi compare</code> tests them.": (
        "小さな差は偶然かもしれません. <code>pochi compare</code> で検定できます."
    ),
    "Settings": "設定",
    "setting": "設定",
    "runs": "実行数",
    "± is the standard deviation over the runs of a setting.": (
        "± は同じ設定の実行の間の標準偏差です."
    ),
    "Runs": "実行",
    "run": "実行",
    "fold": "fold",
    "best epoch": "最良エポック",
    "Validation accuracy": "検証の正答率",
    "{run} has no validation result ({status}).": "{run} には検証結果がありません ({status}).",
}
