"""What more than one folder of tests, or a bench, uses. What a single folder needs lies beside its tests."""
