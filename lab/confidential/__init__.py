# SPDX-License-Identifier: Apache-2.0
"""Confidential guests: what a SEV-SNP report proves, and what a launch will measure.

It judges bytes: nothing here asks a host or the network. It needs the extra `snp`.
"""

from __future__ import annotations
