"""Exports: build an artifact, reload it, and certify that it computes what the checkpoint computes.

settings.py   what can be chosen
samples.py    real images to calibrate and certify on
job.py        what every kind starts from, and how it ends
build.py      from a checkpoint to an artifact: which graph, which file
onnx.py       the graph, for every size of image, with its spec inside
precision.py  fp16 and bf16: which layers stay in fp32
int8.py       int8: scales from real images
openvino.py   .xml and .bin
tensorrt.py   .engine with what lies beside it; plan.py builds the plan itself
triton.py     a repository for a server
parity.py     the certificate; logits.py a number for it, worst.py a picture of what fails it
verify.py     the certificate of an artifact that is there already
"""
