"""Optimizers, models, data and more from outside of this package; see ``docs/plugins.md`` for the whole story.

A plug-in is a Python file or module with one :class:`Plugin` in it:

    from xsam.optim.extend import AscentMethod, ascend
    from xsam.plugins import Plugin

    plugin = Plugin("my_method", version="1")

    @plugin.optimizer("my_sam", passes=2)
    class MySAM(AscentMethod):
        ...

A grid names it (``plugins: [./my_sam.py, my_package.sam]``), or its package has entry points in the groups
``xsam.optimizers``, ``xsam.models``, ``xsam.datasets`` and so on, and then its names are known like built-in ones.
Naming a plug-in runs its code, with the rights of whoever runs the command.
"""

from __future__ import annotations

from xsam.plugins.declare import Plugin as Plugin
from xsam.plugins.load import LoadedPlugin as LoadedPlugin
from xsam.plugins.load import PluginError as PluginError
from xsam.plugins.load import load as load
from xsam.plugins.load import loaded as loaded
from xsam.plugins.load import unload as unload
from xsam.plugins.usage import used_by as used_by

__all__ = ["LoadedPlugin", "Plugin", "PluginError", "load", "loaded", "unload", "used_by"]
