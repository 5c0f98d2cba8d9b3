"""How JupyterLab is set up for the notebooks: `lab` adds this folder to its configuration."""
