"""Reading and writing the Python config files of pochitrain 1.x (`pochi_train_config.py`).

    read.py       execute a file and collect its values; errors name the user's file and line
    capture.py    record the arguments with which transforms are built while the file runs
    node.py       objects of the file (transforms, enums, dtypes) -> `_target_` nodes
    option.py     the table of settings: name in a file -> key of the config
    translate.py  values of a file -> Selection
    composition.py  compose single options, without overrides
    selection.py  the option of each group, and the values that differ from it
    register.py   Selection -> options in Hydra's ConfigStore, which overrides can change
    code.py       `_target_` nodes -> Python expressions
    python_file.py  composed config -> text of a .py file
    write.py      Selection or composed config -> .py and .yaml files

Entry points:

    register.use_config_file(path) -> ["legacy=file"]    overrides that select the file
    write.write_python_config(plain_config, path, note, choices)     a composed config as a .py file
    write.write_yaml_experiment(plain_config, path, note, choices)   the same as a Hydra experiment

`plain_config` is the composed config as plain values with interpolations resolved, which is what
`pochitrain.config.root.to_plain(cfg)` returns and what a run directory's config.yaml holds.
"""
