"""The standard gRPC server reflection service, for clients such as grpcurl."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2 as api
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2_grpc
from ovnhook.control.roles import READS, Rule
from ovnhook.control.service import Dependencies, Service


class Reflection(Service):
    """Returns the proto descriptors of the services.

    Args:
        services: full names of the services.
    """

    NAME = "grpc.reflection.v1alpha.ServerReflection"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "ServerReflectionInfo": READS,
    }

    def __init__(self, services: Collection[str]) -> None:
        self._services = sorted(services)
        self._pool = descriptor_pool.Default()

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.names)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self, server)

    def ServerReflectionInfo(
        self, requests: Iterator[api.ServerReflectionRequest], _context: grpc.ServicerContext
    ) -> Iterator[api.ServerReflectionResponse]:
        """Respond to each request in turn."""
        for request in requests:
            yield api.ServerReflectionResponse(
                valid_host=request.host, original_request=request, **self._answer(request)
            )

    def _answer(self, request: api.ServerReflectionRequest) -> dict[str, Any]:
        match request.WhichOneof("message_request"):
            case "list_services":
                names = [api.ServiceResponse(name=name) for name in self._services]
                return {"list_services_response": api.ListServiceResponse(service=names)}
            case "file_by_filename":
                return self._files(self._pool.FindFileByName, request.file_by_filename)
            case "file_containing_symbol":
                return self._files(self._file_of, request.file_containing_symbol)
            case "file_containing_extension" | "all_extension_numbers_of_type":
                return _error(grpc.StatusCode.NOT_FOUND, "proto3 has no extensions")
            case _:
                return _error(grpc.StatusCode.INVALID_ARGUMENT, "unknown kind of request")

    def _file_of(self, symbol: str) -> Any:
        """File that defines a symbol; KeyError if none does."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:  # newer versions of protobuf do not find methods
            name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(name)
            return service.methods_by_name[method].containing_service.file

    def _files(self, find: Callable[[str], Any], name: str) -> dict[str, Any]:
        """File of a name, with all files that it imports."""
        try:
            left = [find(name)]
        except KeyError:
            return _error(grpc.StatusCode.NOT_FOUND, f"'{name}' not found")
        files: dict[str, bytes] = {}
        while left:
            file = left.pop()
            proto = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(proto)
            files[file.name] = proto.SerializeToString()
            left += [imported for imported in file.dependencies if imported.name not in files]
        return {"file_descriptor_response": api.FileDescriptorResponse(file_descriptor_proto=files.values())}


def _error(status: grpc.StatusCode, words: str) -> dict[str, Any]:
    return {"error_response": api.ErrorResponse(error_code=status.value[0], error_message=words)}
