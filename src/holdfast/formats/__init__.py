"""Every file Keras ever wrote, in and out.

A codec reads one kind of file into a `model_file.ModelFile`, which is what all of them have in
common: a configuration as the file has it, and named arrays that are read when asked for.
`legacy` makes configurations of Keras 1 and 2 into those of Keras 3. `live` builds models and
gives them arrays, and alone imports Keras.
"""
