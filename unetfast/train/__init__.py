"""Training.

settings.py  every option of ``unetfast train``, declared once
early.py     slips in them that are found before the data is read
loop.py      the training itself, read from top to bottom
schedule.py  the learning rate as a function of the step
state.py     what is saved to go on exactly where a run stopped: weights, average, optimiser, random numbers
ddp.py       several processes under torchrun
run_folder.py  runs/train[N]/ and the files in it
loggers.py   TensorBoard, Weights & Biases, MLflow
"""
