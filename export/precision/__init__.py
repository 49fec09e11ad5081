"""Lower precisions: fp16, and int8 with calibrated Q/DQ nodes."""
