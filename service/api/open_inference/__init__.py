"""The Open Inference Protocol, version 2, over the models that the typed routes serve.

https://github.com/kserve/open-inference-protocol and, for the binary, repository, configuration and
statistics extensions, https://github.com/triton-inference-server/server/tree/main/docs/protocol.

tensors.py      shapes, datatypes and the two forms of data (JSON, bytes) to arrays and back
request.py      the JSON of an inference request, parsed
infer.py        request -> array -> outputs -> response; no HTTP
metadata.py     metadata of the server and its models
statistics.py   statistics of each model
admin.py        loading and unloading
rest/           paths to calls, calls to replies, errors in the protocol's form; gzip and deflate
grpc/           the published messages, compiled by the build, and the server; imported on demand
"""
