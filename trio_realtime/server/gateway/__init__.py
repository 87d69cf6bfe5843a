"""The gateway: managed sessions over HTTP and WebSocket."""

from __future__ import annotations

from trio_realtime.server._extra import server_extra

with server_extra():
    from .access import (
        AccessDenied as AccessDenied,
        OriginPolicy as OriginPolicy,
        TenantKeys as TenantKeys,
    )
    from .admission import (
        Admission as Admission,
        NotAdmitted as NotAdmitted,
        TenantLimits as TenantLimits,
    )
    from .app import create_app as create_app
    from .config import (
        GatewayConfig as GatewayConfig,
        StorageConfig as StorageConfig,
        TenantConfig as TenantConfig,
        TwilioConfig as TwilioConfig,
        load_config as load_config,
    )
    from .gateway import (
        CreatedSession as CreatedSession,
        Gateway as Gateway,
        GatewaySettings as GatewaySettings,
        SessionNotFound as SessionNotFound,
        open_gateway as open_gateway,
    )
    from .metrics import GatewayMetrics as GatewayMetrics
    from .running import (
        RunningGateway as RunningGateway,
        run_gateway as run_gateway,
        uses_local_server as uses_local_server,
    )
    from .serving import serve_app as serve_app
    from .sockets import (
        ClientGone as ClientGone,
        ClientSocket as ClientSocket,
        StarletteSocket as StarletteSocket,
        TrioSocket as TrioSocket,
    )
    from .stream import serve_client as serve_client
    from .telephone import TwilioLine as TwilioLine
    from .tokens import (
        Grant as Grant,
        Role as Role,
        TokenIssuer as TokenIssuer,
        TokenRefused as TokenRefused,
    )
