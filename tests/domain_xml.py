"""Domain XML as libvirt hands it to the hook: one interface that is ovnhook's, or one that is not."""

from __future__ import annotations

OURS = b"""<domain id='1'><name>web1</name><uuid>b0b760f6-c243-4921-961b-fb38061dec03</uuid><devices>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br-int'/><virtualport type='openvswitch'/>
</interface></devices></domain>"""
FOREIGN = OURS.replace(b"<virtualport type='openvswitch'/>", b"").replace(b"br-int", b"br-lan")
