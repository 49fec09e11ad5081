"""Run bundles without torch: engines, inputs, exit policies, the scheduler, and networks built from them."""
