"""Training.

settings.py    every option of ``unetfast train``, declared once
early.py       slips in them that are found before the data is read
prepare.py     decisions before the first step: device, precision, spec, class weights, batch size
start.py       the weights that a training starts with
run.py         what a session works with, new or resumed
loop.py        the training itself, read from top to bottom
schedule.py    the learning rate as a function of the step
batches.py     the same batches for the same seed
tally.py       the training loss and score of an epoch
validate.py    what happens between two epochs: measure, keep the best, draw
state.py       what is saved to go on exactly where a run stopped: weights, average, optimiser, random numbers
ddp.py         several processes under torchrun
run_folder.py  runs/train[N]/ and the files in it
progress.py    what a person sees meanwhile
loggers.py     TensorBoard, Weights & Biases, MLflow
"""
