# /etc/profile sets PATH anew for login shells (tmux starts those), which drops the image's ENV PATH. This puts it back.
PATH="$HOME/.local/bin:$HOME/.local/share/agent/baseline/bin:/usr/local/share/agent/baseline/bin:$HOME/.local/share/mise/shims:$PATH"
export PATH
