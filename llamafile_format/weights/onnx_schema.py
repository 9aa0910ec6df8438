"""The messages of an ONNX model and the types of its tensors (spec/1, 7.17.3 and 7.17.5).

The words are those of ``onnx.proto``; a test compares each line with the descriptors of the library of that name.
"""

from __future__ import annotations

from typing import NamedTuple

from llamafile_format.weights.protobuf import OPAQUE, SCALARS, Field

KNOWN_IR = 14
KNOWN_OPSETS = {"": 28, "ai.onnx.ml": 5, "ai.onnx.preview": 1, "ai.onnx.preview.training": 1}
"""Newest version of the format, and of each operator set of its own, that is known here."""

STANDARD_DOMAINS = frozenset({*KNOWN_OPSETS, "com.microsoft"})
"""Operators of these an engine has; those of any other one are code that the model brings or asks for."""

_MESSAGES = """
Model: 1 ir_version number, 2 producer_name text, 3 producer_version text, 4 domain text, 5 model_version number,
    6 doc_string text, 7 graph Graph, 8 opset_import *OperatorSet, 14 metadata_props *Entry, 20 training_info *Training,
    25 functions *Function, 26 configuration *DeviceConfiguration
OperatorSet: 1 domain text, 2 version number
Entry: 1 key text, 2 value text
Training: 1 initialization Graph, 2 algorithm Graph, 3 initialization_binding *Entry, 4 update_binding *Entry
Graph: 1 node *Node, 2 name text, 5 initializer *Tensor, 10 doc_string text, 11 input *ValueInfo, 12 output *ValueInfo,
    13 value_info *ValueInfo, 14 quantization_annotation *Annotation, 15 sparse_initializer *SparseTensor,
    16 metadata_props *Entry
Node: 1 input *text, 2 output *text, 3 name text, 4 op_type text, 5 attribute *Attribute, 6 doc_string text,
    7 domain text, 8 overload text, 9 metadata_props *Entry, 10 device_configurations *NodeDevice
Attribute: 1 name text, 2 f float, 3 i number, 4 s bytes, 5 t Tensor, 6 g Graph, 7 floats *float, 8 ints *number,
    9 strings *bytes, 10 tensors *Tensor, 11 graphs *Graph, 13 doc_string text, 14 tp Type, 15 type_protos *Type,
    20 type number, 21 ref_attr_name text, 22 sparse_tensor SparseTensor, 23 sparse_tensors *SparseTensor
Function: 1 name text, 4 input *text, 5 output *text, 6 attribute *text, 7 node *Node, 8 doc_string text,
    9 opset_import *OperatorSet, 10 domain text, 11 attribute_proto *Attribute, 12 value_info *ValueInfo,
    13 overload text, 14 metadata_props *Entry
Tensor: 1 dims *number, 2 data_type number, 3 segment Segment, 4 float_data *float, 5 int32_data *number,
    6 string_data *bytes, 7 int64_data *number, 8 name text, 9 raw_data bytes, 10 double_data *double,
    11 uint64_data *number, 12 doc_string text, 13 external_data *Entry, 14 data_location number,
    16 metadata_props *Entry
Segment: 1 begin number, 2 end number
SparseTensor: 1 values Tensor, 2 indices Tensor, 3 dims *number
ValueInfo: 1 name text, 2 type Type, 3 doc_string text, 4 metadata_props *Entry
Type: 1 tensor_type TensorType, 4 sequence_type ElementType, 5 map_type MapType, 6 denotation text,
    7 opaque_type Opaque, 8 sparse_tensor_type TensorType, 9 optional_type ElementType
TensorType: 1 elem_type number, 2 shape Shape
ElementType: 1 elem_type Type
MapType: 1 key_type number, 2 value_type Type
Opaque: 1 domain text, 2 name text
Shape: 1 dim *Dimension
Dimension: 1 dim_value number, 2 dim_param text, 3 denotation text
Annotation: 1 tensor_name text, 2 quant_parameter_tensor_names *Entry
DeviceConfiguration: 1 name text, 2 num_devices number, 3 device *text
NodeDevice: 1 configuration_id text, 2 sharding_spec *Sharding, 3 pipeline_stage number
Sharding: 1 tensor_name text, 2 device *number, 3 index_to_device_group_map *DeviceGroup,
    4 sharded_dim *ShardedDimension
DeviceGroup: 1 key number, 2 value *number
ShardedDimension: 1 axis number, 2 simple_sharding *SimpleSharding
SimpleSharding: 1 dim_value number, 2 dim_param text, 3 num_shards number
"""


def _messages(text: str) -> dict[str, dict[int, Field]]:
    """The table as data: ``*`` is a field that may stand more than once."""
    found = {}
    for line in text.strip().replace("\n   ", "").splitlines():
        message, _, fields = line.partition(":")
        rows = [each.split() for each in fields.split(",")]
        found[message] = {int(number): Field(name, kind.lstrip("*"), kind[0] == "*") for number, name, kind in rows}
    return found


MESSAGES = _messages(_MESSAGES)
assert all(f.kind in {*MESSAGES, *SCALARS, *OPAQUE} for fields in MESSAGES.values() for f in fields.values())


class ElementType(NamedTuple):
    """A type of elements: bits of each, the typed field that may hold them, and how many values of it each takes."""

    name: str
    bits: int
    typed: str
    values: int = 1


def _small(name: str, bits: int) -> ElementType:
    return ElementType(name, bits, "int32_data")


STRING = 8
ELEMENT_TYPES = {
    1: ElementType("FLOAT", 32, "float_data"),
    2: _small("UINT8", 8),
    3: _small("INT8", 8),
    4: _small("UINT16", 16),
    5: _small("INT16", 16),
    6: _small("INT32", 32),
    7: ElementType("INT64", 64, "int64_data"),
    STRING: ElementType("STRING", 0, "string_data"),
    9: _small("BOOL", 8),
    10: _small("FLOAT16", 16),
    11: ElementType("DOUBLE", 64, "double_data"),
    12: ElementType("UINT32", 32, "uint64_data"),
    13: ElementType("UINT64", 64, "uint64_data"),
    14: ElementType("COMPLEX64", 64, "float_data", 2),
    15: ElementType("COMPLEX128", 128, "double_data", 2),
    16: _small("BFLOAT16", 16),
    17: _small("FLOAT8E4M3FN", 8),
    18: _small("FLOAT8E4M3FNUZ", 8),
    19: _small("FLOAT8E5M2", 8),
    20: _small("FLOAT8E5M2FNUZ", 8),
    21: _small("UINT4", 4),
    22: _small("INT4", 4),
    23: _small("FLOAT4E2M1", 4),
    24: _small("FLOAT8E8M0", 8),
    25: _small("UINT2", 2),
    26: _small("INT2", 2),
    27: _small("FLOAT6E2M3", 6),
    28: _small("FLOAT6E3M2", 6),
}
"""By the number in ``data_type``; a text has no bits. 2 and 4 bits are packed into the bytes of ``int32_data`` too."""


def type_name(number: int) -> str:
    """The name of an element type, or its number where it has none."""
    known = ELEMENT_TYPES.get(number)
    return known.name if known else f"type {number}"
