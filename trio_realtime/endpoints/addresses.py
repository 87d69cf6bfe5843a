"""From the URL that a user has to the address that an endpoint connects to."""

from __future__ import annotations

import attrs

from .azure import AzureUrl, is_azure_host, is_voice_live
from .urls import MODEL_PARAMETERS, parse_url, query_names, query_value, realtime_url

__all__ = ["Address", "address_of_azure", "address_of_base", "complete_address"]


@attrs.frozen(kw_only=True)
class Address:
    """A realtime URL, and how it names the model.

    Args:
        url: the URL to connect to.
        model: the model that the URL names.
        model_parameter: the query parameter to add a model with; None if the URL takes none.
    """

    url: str
    model: str | None = None
    model_parameter: str | None = None


def complete_address(url: str) -> Address:
    """Return the address of a realtime URL that is used unchanged.

    Raises:
        ConfigurationError: It is not a URL.
    """
    return Address(url=parse_url(url).geturl(), model=query_value(url, "model", "deployment"))


def address_of_base(base: str, api_version: str | None = None) -> Address:
    """Return the address of a base URL, or of an Azure resource.

    Args:
        base: The URL.
        api_version: The version for an Azure resource whose URL does not choose one.

    Raises:
        ConfigurationError: It is not a URL.
    """
    parts = parse_url(base)
    if is_azure_host(parts) and not is_voice_live(parts):
        return address_of_azure(_with_default_version(AzureUrl.parse(base), api_version))
    url = realtime_url(base)
    takes_model = not query_names(url) & MODEL_PARAMETERS
    return Address(
        url=url,
        model=query_value(url, "model", "deployment"),
        model_parameter="model" if takes_model else None,
    )


def address_of_azure(azure: AzureUrl) -> Address:
    """Return the address of an Azure resource.

    Raises:
        ConfigurationError: The form of the URL needs a version, and there is none.
    """
    return Address(
        url=azure.realtime_url(),
        model=azure.deployment,
        model_parameter=None if azure.deployment else azure.model_parameter,
    )


def _with_default_version(azure: AzureUrl, api_version: str | None) -> AzureUrl:
    chosen = azure.is_v1 or azure.api_version is not None
    return azure if chosen or not api_version else azure.with_version(api_version)
