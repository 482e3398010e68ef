"""Many runs: grids, variants of a method, several GPUs, the choice of hparams."""
