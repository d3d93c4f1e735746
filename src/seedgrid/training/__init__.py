"""What a trial trains: the contract of a training, and the two kinds that there are."""
