// The theme of VitePress without its fonts: pages use those of the system.
import theme from "vitepress/theme-without-fonts";
import "./style.css";
import "../../.pages/pictures.css";

export default theme;
