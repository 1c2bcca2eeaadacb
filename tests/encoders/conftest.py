# Imported first, so that torchvision loads beside a CPU torch: timm and torch-fidelity need it.
import morphpipe  # noqa: F401
