"""The service ``ovnhook.v1.SecurityGroups``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, Self

import grpc

from ovnhook.api.v1 import security_groups_pb2 as api
from ovnhook.api.v1 import security_groups_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest
from ovnhook.control.pages import page
from ovnhook.control.repairs import Repairs
from ovnhook.control.roles import CHANGES, READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.control.view import Parts
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.kind import Change
from ovnhook.resources.kinds import complete
from ovnhook.resources.port.values import Port
from ovnhook.resources.security_group import rules, syntax
from ovnhook.resources.security_group.acls import port_group_name
from ovnhook.resources.security_group.kind import SECURITY_GROUP
from ovnhook.resources.security_group.values import RuleVerdict, SecurityGroup, check_name, ports_text
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.values import Subnet


class SecurityGroups(Service):
    """Creates, lists, changes and deletes security groups.

    Args:
        northbound: northbound database.
        repairs: commits changes, after repairs of rows that they depend on.
    """

    NAME = "ovnhook.v1.SecurityGroups"
    KIND = SECURITY_GROUP
    RULES: ClassVar[Mapping[str, Rule]] = {
        "CreateSecurityGroup": CHANGES,
        "GetSecurityGroup": READS,
        "ListSecurityGroups": READS,
        "AddSecurityGroupRule": CHANGES,
        "RemoveSecurityGroupRule": CHANGES,
        "UpdateSecurityGroup": CHANGES,
        "DeleteSecurityGroup": CHANGES,
    }

    def __init__(self, northbound: Northbound, repairs: Repairs) -> None:
        self._northbound = northbound
        self._repairs = repairs

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.repairs)

    @staticmethod
    def shown(parts: Parts) -> api.SecurityGroup | None:
        """Message that watches show of a group: without what other rows have of it."""
        return next((message(one, Cloud()) for one in parts.of(SECURITY_GROUP)), None)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        security_groups_pb2_grpc.add_SecurityGroupsServicer_to_server(self, server)

    def CreateSecurityGroup(self, request: api.CreateSecurityGroupRequest, deadline: Deadline) -> api.SecurityGroup:
        """Create a security group. Idempotent."""
        check_name(request.name)

        def plan(cloud: Cloud) -> tuple[Change, ...]:
            foreign = self._northbound.is_foreign_port_group(port_group_name(request.name), deadline)
            return rules.create(request.name, cloud, name_is_foreign=foreign)

        return self._change(plan, request.name, "created", deadline)

    def GetSecurityGroup(self, request: api.GetSecurityGroupRequest, deadline: Deadline) -> api.SecurityGroup:
        """Return one security group."""
        return self._get(request.name, deadline)

    def ListSecurityGroups(
        self, request: api.ListSecurityGroupsRequest, deadline: Deadline
    ) -> api.ListSecurityGroupsResponse:
        """List the security groups."""
        cloud = self._northbound.cloud(deadline)
        shown, token = page(
            cloud.of(SecurityGroup),
            lambda one: (one.name,),
            request.page_size,
            request.page_token,
            lambda one: message(one, cloud),
        )
        return api.ListSecurityGroupsResponse(security_groups=shown, next_page_token=token)

    def AddSecurityGroupRule(self, request: api.AddSecurityGroupRuleRequest, deadline: Deadline) -> api.SecurityGroup:
        """Add a rule. Idempotent."""
        traffic = syntax.traffic(request.source, request.protocol, request.ports)
        if request.verdict not in (one.value for one in RuleVerdict):
            raise InvalidRequest(f"verdict '{request.verdict[:80]}': expected allow or deny")
        verdict = RuleVerdict(request.verdict)
        return self._change(
            lambda cloud: rules.add_rule(request.name, verdict, traffic, cloud), request.name, "changed", deadline
        )

    def RemoveSecurityGroupRule(
        self, request: api.RemoveSecurityGroupRuleRequest, deadline: Deadline
    ) -> api.SecurityGroup:
        """Remove a rule."""
        return self._change(
            lambda cloud: rules.remove_rule(request.name, request.rule, cloud), request.name, "changed", deadline
        )

    def UpdateSecurityGroup(self, request: api.UpdateSecurityGroupRequest, deadline: Deadline) -> api.SecurityGroup:
        """Change the settings of a security group. Idempotent."""
        return self._change(
            lambda cloud: rules.set_outbound(request.name, request.outbound, cloud), request.name, "changed", deadline
        )

    def DeleteSecurityGroup(
        self, request: api.DeleteSecurityGroupRequest, deadline: Deadline
    ) -> api.DeleteSecurityGroupResponse:
        """Delete a security group that nothing uses."""

        def plan() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            ports, has_foreign = self._northbound.members(rules.find(request.name, cloud).uuid, deadline)
            return complete(rules.delete(request.name, cloud, ports, has_foreign=has_foreign), cloud)

        self._repairs.carry_out(plan, f"security group {request.name} is deleted", deadline)
        return api.DeleteSecurityGroupResponse()

    def _change(
        self, plan: Callable[[Cloud], tuple[Change, ...]], name: str, done: str, deadline: Deadline
    ) -> api.SecurityGroup:
        def make() -> tuple[Change, ...]:
            cloud = self._northbound.cloud(deadline)
            return complete(plan(cloud), cloud)

        self._repairs.carry_out(make, f"security group {name} is {done}", deadline)
        return self._get(name, deadline)

    def _get(self, name: str, deadline: Deadline) -> api.SecurityGroup:
        cloud = self._northbound.cloud(deadline)
        group = rules.find(name, cloud)
        return message(group, cloud, self._northbound.members(group.uuid, deadline)[0])


def message(one: SecurityGroup, cloud: Cloud, members: Iterable[Port] = ()) -> api.SecurityGroup:
    """Message of a security group.

    Args:
        one: the group.
        cloud: has what other resources say of it.
        members: its ports.
    """
    return api.SecurityGroup(
        name=one.name,
        outbound="deny" if one.denies_outbound else "allow",
        rules=[
            api.SecurityGroupRule(
                number=rule.number,
                verdict=rule.verdict.value,
                source=rule.traffic.source,
                protocol=rule.traffic.protocol,
                ports=ports_text(rule.traffic.ports),
                text=str(rule),
            )
            for rule in one.rules
        ],
        reaches=[f"{other.name}: {rule}" for other, rule in rules.allowed_by(one.name, cloud)],
        subnets=[subnet.name for subnet in cloud.of(Subnet) if one.name in subnet.security_groups],
        members=[
            api.SecurityGroupMember(
                domain_name=port.domain_name,
                domain=str(port.domain),
                mac=port.mac,
                subnet=port.subnet,
                addresses=map(str, port.addresses),
                host=port.host,
                port=port.id,
            )
            for port in members
        ],
        port_group=str(one.uuid),
    )
