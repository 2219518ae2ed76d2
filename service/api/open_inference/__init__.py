"""The Open Inference Protocol, version 2, over the models that the typed routes serve.

https://github.com/kserve/open-inference-protocol and, for the binary, repository, configuration and
statistics extensions, https://github.com/triton-inference-server/server/tree/main/docs/protocol.

tensors.py      shapes, datatypes and the two forms of data (JSON, bytes) to arrays and back
request.py      the JSON of an inference request, taken apart
infer.py        request -> array -> outputs -> response; no HTTP
metadata.py     what the protocol says of the server and its models
statistics.py   what it counts
compression.py  gzip and deflate, both ways
replies.py      an HTTP answer, and errors as the protocol words them
calls.py        what is asked by HTTP, one function a question
routes.py       paths to calls, errors to replies
operator.py     loading and unloading
proto/          the published definitions of the messages of gRPC
definitions.py  those messages, from what the build compiles of the definitions
messages.py     inference by gRPC: messages to arrays and back
rpc.py          the methods of gRPC
listener.py     the gRPC server; it and the three before are imported only where it is wanted
"""
