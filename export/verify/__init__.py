"""Compare exported parts with PyTorch."""
