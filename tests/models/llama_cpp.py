"""Serves a model over HTTP by llama.cpp's own server, as the wheels of xllamacpp have it: llama_cpp.py MODEL SLOTS [KEY]."""
import sys
import threading

import xllamacpp

parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_parallel = int(sys.argv[2])
parameters.kv_unified = False
parameters.n_ctx = 4096 * parameters.n_parallel
parameters.api_keys = sys.argv[3:]
parameters.port = 0
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
parameters.cache_prompt = False  # so that it counts all tokens of each prompt
parameters.endpoint_metrics = True
parameters.warmup = parameters.ui = False
parameters.offline = True
server = xllamacpp.Server(parameters)
print("listening on", server.listening_address, flush=True)
threading.Event().wait()
