# Reference outputs from R survival.
# Debian 12: apt-get install -y --no-install-recommends r-base-core r-cran-survival r-cran-jsonlite r-cran-coin r-cran-exactranktests
# usage: Rscript make_reference.R OUTDIR
suppressMessages({library(survival); library(jsonlite)})
out <- commandArgs(TRUE)[1]; if (is.na(out)) out <- "."
dir.create(file.path(out,"inputs"),showWarnings=FALSE,recursive=TRUE); dir.create(file.path(out,"expected"),showWarnings=FALSE)
nn <- function(x) { x <- as.numeric(x); x[!is.finite(x)] <- NA; x }
row1 <- function(m) if (is.null(dim(m))) t(as.matrix(m)) else m

# RMST (area under KM to tau) with the Greenwood-type variance used by survRM2:
# var = sum_{t_i<=tau} (area from t_i to tau)^2 * d_i/(n_i(n_i-d_i))
rmst <- function(time,status,tau) {
  f <- survfit(Surv(time,status)~1)
  idx <- f$time<=tau
  wk.time <- sort(c(f$time[idx],tau)); wk.surv <- f$surv[idx]; nr <- f$n.risk[idx]; ne <- f$n.event[idx]
  td <- diff(c(0,wk.time)); areas <- td*c(1,wk.surv); r <- sum(areas)
  v <- ifelse((nr-ne)==0,0,ne/(nr*(nr-ne))); v <- c(v,0)
  va <- sum(cumsum(rev(areas[-1]))^2*rev(v)[-1])
  list(tau=tau,rmst=r,se=sqrt(va),lower=r-qnorm(.975)*sqrt(va),upper=r+qnorm(.975)*sqrt(va))
}
kmblock <- function(fml,data,times,ct) {
  f <- survfit(fml,data=data,conf.type=ct)
  s <- summary(f,times=times,extend=TRUE)
  st <- if (is.null(s$strata)) rep("all",length(s$time)) else as.character(s$strata)
  tab <- row1(summary(f)$table)
  q <- quantile(f,probs=c(.25,.5,.75))
  Q <- function(m) row1(m)
  qs <- lapply(1:nrow(Q(q$quantile)),function(i) list(q25=nn(Q(q$quantile)[i,1]),q25_lower=nn(Q(q$lower)[i,1]),q25_upper=nn(Q(q$upper)[i,1]),
     median=nn(Q(q$quantile)[i,2]),median_lower=nn(Q(q$lower)[i,2]),median_upper=nn(Q(q$upper)[i,2]),
     q75=nn(Q(q$quantile)[i,3]),q75_lower=nn(Q(q$lower)[i,3]),q75_upper=nn(Q(q$upper)[i,3])))
  nm <- if (is.null(f$strata)) "all" else names(f$strata); names(qs) <- nm
  list(conf_type=ct,groups=nm,n=nn(tab[,"records"]),events=nn(tab[,"events"]),quantiles=qs,
    at_times=data.frame(group=st,time=s$time,n_risk=s$n.risk,surv=s$surv,std_err=s$std.err,lower=s$lower,upper=s$upper))
}
lr <- function(fml,data,rho=0) { d <- survdiff(fml,data=data,rho=rho); df <- length(d$n)-1
  if (is.matrix(d$obs)) { obs <- rowSums(d$obs); ex <- rowSums(d$exp) } else { obs <- d$obs; ex <- d$exp }
  list(rho=rho,chisq=d$chisq,df=df,p=pchisq(d$chisq,df,lower.tail=FALSE),groups=names(d$n),n=as.numeric(d$n),observed=as.numeric(obs),expected=as.numeric(ex),var=as.numeric(d$var),var_dim=dim(d$var)) }
cox <- function(fml,data,ties="efron") { m <- coxph(fml,data=data,ties=ties,x=TRUE,y=TRUE,model=TRUE); s <- summary(m); z <- tryCatch(cox.zph(m,transform="km")$table,error=function(e) {message("zph: ",conditionMessage(e)); NULL})
  list(ties=ties,n=m$n,nevent=m$nevent,terms=names(coef(m)),coef=as.numeric(coef(m)),se=as.numeric(sqrt(diag(vcov(m)))),hr=as.numeric(exp(coef(m))),
   hr_lower=as.numeric(s$conf.int[,"lower .95"]),hr_upper=as.numeric(s$conf.int[,"upper .95"]),p_wald=as.numeric(s$coefficients[,"Pr(>|z|)"]),
   loglik=as.numeric(m$loglik),lrt=unname(s$logtest),score=unname(s$sctest),wald=unname(s$waldtest),
   zph=if(is.null(z)) NULL else data.frame(term=rownames(z),z,check.names=FALSE)) }
f <- function(s) as.formula(s)

run <- function(name,data,group,strata=NULL,covs=NULL,times,tau,desc,covstrata=strata) {
  keep <- unique(c("time","status",group,strata,covs)); data <- data[,keep]; data <- data[stats::complete.cases(data),]
  data <- cbind(id=seq_len(nrow(data)),data)
  write.csv(data,file.path(out,"inputs",paste0(name,".csv")),row.names=FALSE)
  r <- list(dataset=name,description=desc,n=nrow(data),events=sum(data$status),group=group,strata=strata,covariates=covs,times=times,
            software=paste(R.version.string,"; survival",packageVersion("survival")))
  S <- "Surv(time,status)"
  r$km_overall <- lapply(c("log-log","log","plain"),function(ct) kmblock(f(paste(S,"~1")),data,times,ct)); names(r$km_overall) <- c("log-log","log","plain")
  r$km_group <- lapply(c("log-log","log","plain"),function(ct) kmblock(f(paste(S,"~",group)),data,times,ct)); names(r$km_group) <- c("log-log","log","plain")
  r$logrank <- lr(f(paste(S,"~",group)),data); r$peto_peto_rho1 <- lr(f(paste(S,"~",group)),data,1)
  r$cox_group_efron <- cox(f(paste0(S,"~factor(",group,")")),data); r$cox_group_breslow <- cox(f(paste0(S,"~factor(",group,")")),data,"breslow"); 
  r$cox_group_exact <- tryCatch(cox(f(paste0(S,"~factor(",group,")")),data,"exact"),error=function(e) NULL)
  if (!is.null(strata)) { st <- paste0("strata(",paste(strata,collapse=","),")")
    r$logrank_stratified <- lr(f(paste(S,"~",group,"+",st)),data)
    r$cox_group_stratified_efron <- cox(f(paste0(S,"~factor(",group,")+",st)),data)
    r$cox_group_stratified_breslow <- cox(f(paste0(S,"~factor(",group,")+",st)),data,"breslow") }
  if (!is.null(covs)) { r$cox_multi_efron <- cox(f(paste0(S,"~factor(",group,")+",paste(covs,collapse="+"))),data)
    if (!is.null(strata)) r$cox_multi_stratified_efron <- cox(f(paste0(S,"~factor(",group,")+",paste(covs,collapse="+"),"+strata(",paste(covstrata,collapse=","),")")),data) }
  lv <- sort(unique(data[[group]])); r$rmst <- lapply(lv,function(l) c(list(level=as.character(l)),rmst(data$time[data[[group]]==l],data$status[data[[group]]==l],tau)))
  if (length(lv)==2) { d <- r$rmst[[2]]$rmst-r$rmst[[1]]$rmst; se <- sqrt(r$rmst[[1]]$se^2+r$rmst[[2]]$se^2)
    r$rmst_difference <- list(contrast=paste(lv[2],"minus",lv[1]),diff=d,se=se,lower=d-qnorm(.975)*se,upper=d+qnorm(.975)*se,p=2*pnorm(-abs(d/se))) }
  # independent RMST check from survival itself
  p <- summary(survfit(f(paste(S,"~",group)),data=data),rmean=tau)$table; r$rmst_survival_pkg <- data.frame(group=rownames(p),rmean=p[,"rmean"],se=p[,"se(rmean)"])
  # full KM curve (every distinct time) for the grouped, log-log fit
  ff <- survfit(f(paste(S,"~",group)),data=data,conf.type="log-log")
  write.csv(data.frame(group=rep(names(ff$strata),ff$strata),time=ff$time,n_risk=ff$n.risk,n_event=ff$n.event,n_censor=ff$n.censor,surv=ff$surv,std_err_log=ff$std.err,lower=ff$lower,upper=ff$upper),
    file.path(out,"expected",paste0(name,"_km_curve_loglog.csv")),row.names=FALSE)
  write_json(r,file.path(out,"expected",paste0(name,".json")),digits=NA,auto_unbox=TRUE,pretty=TRUE,na="null",dataframe="rows")
  cat(sprintf("%-22s n=%d ev=%d LR chisq=%.6f p=%.6g HR(efron)=%.6f\n",name,r$n,r$events,r$logrank$chisq,r$logrank$p,r$cox_group_efron$hr[1]))
}
ev <- function(x) as.integer(x)
d <- lung; d$status <- ev(d$status==2); run("lung",d,"sex","ph.ecog",c("age"),c(90,180,365,730),730,"NCCTG lung; group sex 1=M 2=F; strata ph.ecog")
d <- veteran; d$celltype <- as.character(d$celltype); run("veteran",d,"trt","celltype",c("karno","age"),c(30,90,180,365),365,"VA lung; trt 1/2; strata celltype (heavy ties)")
d <- subset(colon,etype==2); d$rx <- as.character(d$rx); run("colon_os",d,"rx",c("node4","extent"),c("age","sex"),c(365,730,1095,1825),2500,"colon, death, 3 arms Obs/Lev/Lev+5FU; strata node4 x extent")
d <- subset(colon,etype==1); d$rx <- as.character(d$rx); run("colon_rfs",d,"rx","node4",c("age","sex"),c(365,730,1095,1825),2500,"colon, recurrence; strata node4")
d <- subset(colon,etype==2 & rx!="Lev"); d$rx <- as.character(d$rx); run("colon_os_2arm",d,"rx",c("node4","extent"),c("age"),c(365,1095,1825),2500,"colon, death, 2 arms Lev+5FU vs Obs")
d <- ovarian; d$time <- d$futime; d$status <- d$fustat; run("ovarian",d,"rx","resid.ds","age",c(180,365,730),700,"ovarian small n=26; median not reached in one arm")
d <- subset(pbc,!is.na(trt)); d$status <- ev(d$status==2); run("pbc",d,"trt","edema",c("age","bili"),c(365,1095,1825,3650),3650,"pbc RCT part, death (transplant censored); strata edema (3 levels)")
d <- rotterdam; d$time <- d$dtime; d$status <- d$death; run("rotterdam_os",d,"chemo",c("meno","grade"),c("age","nodes"),c(365.25,1826.25,3652.5),3652.5,"rotterdam breast, death; chemo; strata meno x grade; n=2982")
d <- gbsg; d$time <- d$rfstime; run("gbsg_rfs",d,"hormon","meno",c("age","nodes"),c(365,730,1461),2000,"GBSG2 RFS; hormone; strata meno")
d <- leukemia; d$x <- as.character(d$x); run("aml",d,"x",NULL,NULL,c(12,24,36),48,"AML maintenance (Miller); last obs censored")
# constructed edge cases, numbers from the same software
e <- data.frame(time=c(1,1,1,2,2,3,3,4,4,5,5,6),status=c(1,1,0,1,0,1,1,0,1,1,0,0),arm=c("A","B","A","A","B","B","A","A","B","B","A","B"),st=c(1,1,1,1,1,1,2,2,2,2,2,2)); run("edge_ties",e,"arm","st",NULL,c(0,1,2.5,6,8),5,"tiny heavy ties, event and censor at same time, t=0 and t beyond last")
e <- data.frame(time=c(5,6,7,8,9,10,11,12),status=c(0,0,0,0,1,1,1,1),arm=rep(c("A","B"),each=4),st=1); run("edge_noevents_arm",e,"arm",NULL,NULL,c(5,9,12),8,"arm A no events at all: S=1, CI undefined for log-log, HR infinite")
sink(file.path(out,"sessionInfo.txt")); print(sessionInfo()); sink()
