"""All that this client can say: seven remote methods, none of which changes anything but a login.

The registry has operation numbers and a hash of its interface; the other methods have the number -1
and a hash of name and descriptor.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

_NAME, _QUERY = "Ljavax/management/ObjectName;", "Ljava/rmi/MarshalledObject;"
_SUBJECT, _TEXT = "Ljavax/security/auth/Subject;", "Ljava/lang/String;"


def _method(signature: str) -> bytes:
    raw = signature.encode()
    digest = hashlib.sha1(struct.pack(">H", len(raw)) + raw, usedforsecurity=False).digest()
    return struct.pack(">i", -1) + digest[7::-1]


REGISTRY: Final = bytes(22)
"""The object id of every registry."""

LOOKUP: Final = struct.pack(">iQ", 2, 0x44154DC9D4E63BDF)
NEW_CLIENT: Final = _method(
    "newClient(Ljava/lang/Object;)Ljavax/management/remote/rmi/RMIConnection;"
)
GET_ATTRIBUTES: Final = _method(
    f"getAttributes({_NAME}[{_TEXT}{_SUBJECT})Ljavax/management/AttributeList;"
)
GET_MBEAN_INFO: Final = _method(f"getMBeanInfo({_NAME}{_SUBJECT})Ljavax/management/MBeanInfo;")
QUERY_NAMES: Final = _method(f"queryNames({_NAME}{_QUERY}{_SUBJECT})Ljava/util/Set;")
DEFAULT_DOMAIN: Final = _method(f"getDefaultDomain({_SUBJECT}){_TEXT}")
CLOSE: Final = _method("close()V")
