"""The specification of data and model that both engines share."""
