"""Which births to plan: M2N2, a sweep over mixing ratios, any search of EvoTorch."""
