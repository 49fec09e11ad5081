"""The film strip of an explained video."""
