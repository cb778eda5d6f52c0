import numpy as np, sys
from pytest_prodml.statistics.quantiles import *
r=np.random.default_rng(0)
for n in (29,46,61):
    e=[effective_sample_size(r.lognormal(size=n),.9) for _ in range(2000)]
    print(n, np.mean(np.array(e)<29), np.quantile(e,[.01,.05,.1,.25,.5]))
for s in (0,.05,.1,.25): print(s, required_samples(.9,.95,s))
