"""The Python config files of pochitrain 1.x (`pochi_train_config.py`) as configs of today.

    read.py       execute a file and keep its values; errors with the user's file and line
    capture.py    remember with which arguments transforms are built while the file runs
    node.py       objects of the file (transforms, enums, dtypes) -> `_target_` nodes
    option.py     the table: old name -> place in the tree
    translate.py  values of a file -> Selection
    composition.py  what options are before anything is put on top of them
    selection.py  which option each group has and what differs from it
    register.py   Selection -> options of Hydra's ConfigStore, so that overrides go on top
    code.py       `_target_` nodes -> Python expressions
    python_file.py  composed config -> text of a .py file
    write.py      Selection or composed config -> .py and .yaml files

What others call:

    register.use_config_file(path) -> ["legacy=file"]    overrides that select the file
    write.write_python_config(plain_config, path, note, choices)     a composed config as a .py file
    write.write_yaml_experiment(plain_config, path, note, choices)   the same as a Hydra experiment

`plain_config` is the composed config as plain values with interpolations resolved, which is what
`pochitrain.config.root.to_plain(cfg)` returns and what a run directory's config.yaml holds.
"""
