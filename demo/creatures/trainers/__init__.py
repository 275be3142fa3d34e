"""How the model of the second world and its oracle are trained, stage by stage."""
